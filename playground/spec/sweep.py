"""What a person writes of a sweep: a base, variants as overrides of it, and how to compare them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from playground.errors import SpecError
from playground.spec.model import ModelSpec
from playground.spec.require import require
from playground.spec.run import Compile, RunSpec, Scalar, TrainSpec
from playground.spec.tasks import TaskSpec

if TYPE_CHECKING:
    from playground.spec.expand import Checked

TUNE_SEED = 1_000_000  # the first of tuning

Written = Mapping[str, object]  # plain data as a person writes it: only the keys they wrote


def _nothing() -> dict[str, object]:
    return {}


@dataclass(frozen=True, kw_only=True)
class BaseSpec:
    """The model that variants differ from: `{extends: PATH, dim: 128, ...}`, the path alone, or
    the model itself."""

    # the model as written: what was not written there follows a change of kind
    extends: Written = field(default_factory=_nothing)
    overrides: Written = field(default_factory=_nothing, metadata={"rest": True})

    @classmethod
    def of(cls, model: ModelSpec) -> "BaseSpec":
        """The base of a sweep that is built in Python."""
        from playground.spec.canonical import to_dict  # that module reads this one

        return cls(extends=to_dict(model, defaults=False))


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """Overrides of the base; with `extends` another model, on which the base's overrides hold."""

    extends: Written | None = None
    overrides: Written = field(default_factory=_nothing, metadata={"rest": True})


@dataclass(frozen=True, kw_only=True)
class TuneSpec:
    """Learning rates and the like, chosen per variant before the comparison."""

    grid: Mapping[str, tuple[Scalar, ...]]
    seeds: int = 2
    select: str = "val/loss"
    edge: Literal["extend", "warn", "error"] = "extend"  # when the best lies on the grid's edge

    def __post_init__(self) -> None:
        _check_grid("grid", self.grid)
        require(bool(self.grid), "grid", "it is empty.", "Write train.optim.lr: [3e-4, 1e-3].")
        require(self.seeds >= 1, "seeds", f"{self.seeds} is not positive.", "Write 1 or more.")
        problem = f"{self.select} is no score of the val split, the only one that tuning reads."
        require(self.select.startswith("val/"), "select", problem, "Write val/loss.")


@dataclass(frozen=True, kw_only=True)
class MatchSpec:
    """Make every variant as large as the base: one tolerance, and the field that is changed."""

    params: float | None = None  # relative tolerance, such as 0.02
    flops: float | None = None
    state: float | None = None
    by: str = "block.feedforward.expand"

    def __post_init__(self) -> None:
        given = [name for name in ("params", "flops", "state") if getattr(self, name) is not None]
        fix = "Write one of params, flops and state, such as params: 0.02."
        require(len(given) == 1, "", f"{len(given)} sizes are to be matched, not 1.", fix)
        tolerance = getattr(self, given[0])
        require(0 < tolerance < 1, given[0], f"{tolerance} is not in (0, 1).", "Write 0.02.")


@dataclass(frozen=True, kw_only=True)
class ReportSpec:
    """What the report shows; no part of a run's identity."""

    metrics: tuple[str, ...] = ("test/loss", "test/bits_per_byte", "tokens_per_s")
    test: Literal["paired_t", "none"] = "paired_t"
    correct: Literal["holm", "none"] = "holm"  # for the number of variants
    formats: tuple[Literal["md", "html", "csv", "tex"], ...] = ("md", "html", "csv")
    # what the first metric is drawn over; auto: speed where all runs have one, else FLOPs
    x: Literal["auto", "tokens_per_s", "flops_per_token", "state_bytes"] = "auto"


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """How the runs are executed; no part of a run's identity."""

    engine: Literal["local", "ray"] = "local"
    workers: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"  # of each worker
    retries: int = 2  # of runs whose worker died and that got no further than before
    silence_s: float = 3600.0  # a worker that says nothing for so long is killed; 0 for never
    # replicas trained in one stack; auto: up to 8, so that no worker is idle; a number: at most so
    # many on any machine, so that last digits do not depend on the number of workers
    vectorize: bool | int | Literal["auto"] = "auto"
    audit: float = 0.05  # part of those that is trained again alone, for 50 steps
    address: str = ""  # of a running Ray cluster, or auto; empty starts one on this machine
    gpus: float = 0.0  # of a Ray worker; a fraction lets several share one

    def __post_init__(self) -> None:
        for name in ("workers", "threads"):
            count = getattr(self, name)
            fix = "Write 1 or more, or auto."
            good = count == "auto" or count >= 1
            require(good, name, f"{count} is not a positive count.", fix)
        many = self.vectorize == "auto" or isinstance(self.vectorize, bool) or self.vectorize >= 1
        fix = "Write 1 or more, true, false or auto."
        require(many, "vectorize", f"{self.vectorize} is not a positive count.", fix)
        for name in ("retries", "silence_s", "audit", "gpus"):
            value = getattr(self, name)
            require(value >= 0, name, f"{value} is negative.", "Write 0 or more.")


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """Variants of a base on one task, with paired seeds.

    `device`, `dtype`, `lowering`, `compile` and `evaluate` are those of every run.
    """

    kind: ClassVar[str] = "sweep"

    base: BaseSpec = field(metadata={"fix": "Write base: PATH of a model's YAML."})
    task: TaskSpec
    train: TrainSpec = field(default_factory=TrainSpec)
    baseline: str = "full"  # a variant's name, or a new name for the base as it is
    variants: Mapping[str, VariantSpec] = field(default_factory=dict[str, VariantSpec])
    grid: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict[str, tuple[Scalar, ...]])
    # keys that move together: each the same number of values; at every point of the grid
    zip: Mapping[str, tuple[Scalar, ...]] = field(
        default_factory=dict[str, tuple[Scalar, ...]], metadata={"later": True}
    )
    # where every variant is run, such as at folds or horizons: a seed's scores are the means
    # over these places, all combinations of the values
    across: Mapping[str, tuple[Scalar, ...]] = field(
        default_factory=dict[str, tuple[Scalar, ...]], metadata={"later": True}
    )
    tune: TuneSpec | None = None
    seeds: int | tuple[int, ...] = 8  # a count (0, 1, ...) or the seeds themselves
    match: MatchSpec | None = None
    report: ReportSpec = field(default_factory=ReportSpec)
    run: EngineSpec = field(default_factory=EngineSpec)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    lowering: Literal["auto", "recurrent", "chunked", "triton"] = "auto"
    compile: Compile = True
    evaluate: tuple[Mapping[str, Scalar], ...] = ()

    def __post_init__(self) -> None:
        seeds = self.seed_list()
        fix = "Write a count of 1 or more, or a list of different seeds from 0 on."
        require(len(set(seeds)) == len(seeds), "seeds", "a seed is there twice.", fix)
        good = bool(seeds) and min(seeds) >= 0
        require(good, "seeds", f"{self.seeds!r} gives no seeds.", fix)
        fix = f"Write seeds below {TUNE_SEED}: tuning has those from there on."
        require(self.tune is None or max(seeds) < TUNE_SEED, "seeds", "some are of tuning.", fix)
        for name in (self.baseline, *self.variants):
            problem, fix = f"{name!r} is no name.", "Write letters, such as no-conv."
            require(bool(name.strip()) and name.isprintable(), "variants", problem, fix)
        _check_grid("grid", self.grid)
        _check_zip(self.zip, self.grid)
        _check_grid("across", self.across)
        for name, axes in (("grid", self.grid), ("zip", self.zip)):
            for key in self.across:
                problem = f"it is a key of the {name}, too."
                require(key not in axes, f"across.{key}", problem, "Write it once.")
        fix = "Write variants: {name: {key: value}}, grid: {key: [values]}, or across as grid."
        some = any((self.variants, self.grid, self.zip, self.across))
        require(some, "variants", "there is nothing to compare.", fix)
        unread = next((m for m in self.report.metrics if m.startswith("test/")), "")
        problem = f"{unread} is of the test split, which train.score_test: false leaves unread."
        fix = "Write report.metrics=[val/loss], or remove train.score_test."
        require(self.train.score_test or not unread, "report.metrics", problem, fix)

    def seed_list(self) -> tuple[int, ...]:
        """The seeds of every variant."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def tune_seeds(self) -> tuple[int, ...]:
        """The seeds that values are chosen by; the comparison never uses them."""
        return () if self.tune is None else tuple(TUNE_SEED + i for i in range(self.tune.seeds))

    def expand(self) -> "list[SweepRun]":
        """Every run of the sweep, the baseline first, each variant with the same seeds.

        Raises:
            SpecError: a variant that cannot be built, changes nothing, or repeats another.
        """
        return [
            SweepRun(
                variant=one.name,
                at=at,
                seed=seed,
                spec=spec.seeded(seed),
                dropped=one.dropped,
            )
            for one in self.checked
            for at, spec in one.places.items()
            for seed in self.seed_list()
        ]

    @cached_property
    def checked(self) -> "list[Checked]":
        """The variants, the baseline first; all can be built and all differ.

        Raises:
            SpecError: naming the variant and the key.
        """
        from playground.spec.expand import check  # that module reads this one

        return check(self)


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        at: the place of `across` that it is run at, such as "task.fold=1"; "" without any.
        dropped: the base's overrides that this variant's own model has no field for.
    """

    variant: str
    seed: int
    spec: RunSpec
    at: str = ""
    dropped: tuple[str, ...] = ()


def _check_grid(path: str, grid: Mapping[str, tuple[Scalar, ...]]) -> None:
    for key, values in grid.items():
        if not values or len({repr(value) for value in values}) != len(values):
            problem = f"{list(values)} is not a list of different values."
            raise SpecError(f"{path}.{key}", problem, fix="Write for example [8, 16].")


def _check_zip(rows: Mapping[str, tuple[Scalar, ...]], grid: Mapping[str, object]) -> None:
    fix = "Write as many values for every key, such as {dim: [64, 128], depth: [8, 4]}."
    for key, values in rows.items():
        require(key not in grid, f"zip.{key}", "it is a key of the grid, too.", "Write it once.")
        longest = max(rows, key=lambda other: len(rows[other]))
        problem = f"it has {len(values)} values, {longest} {len(rows[longest])}."
        require(len(values) == len(rows[longest]), f"zip.{key}", problem, fix)
    points = [repr(point) for point in zip(*rows.values(), strict=True)]
    require(bool(points) or not rows, "zip", "there are no values.", fix)
    problem = "two of its points are the same."
    require(len(set(points)) == len(points), "zip", problem, "Remove one of them.")
