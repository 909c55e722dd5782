"""What a person writes of a search: a space around a base, limits, objectives, and rungs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.errors import SpecError
from playground.spec.require import require
from playground.spec.run import Compile, RunSpec, Scalar, TrainSpec
from playground.spec.sweep import BaseSpec, EngineSpec, Written
from playground.spec.tasks import TaskSpec

COSTS = {"params": "min", "state_bytes": "min", "flops_per_token": "min", "tokens_per_s": "max"}
SEARCH_SEED = 2_000_000  # the first of the rungs before the last one
SCORE = "score"  # the quality that every task has: accuracy, or minus the loss


def scored(metrics: Mapping[str, float], quality: str) -> float:
    """A run's quality; NaN where it has none.

    Args:
        metrics: of its result.
        quality: a name among them, or "val/score" or "test/score": the accuracy there, or minus
            the loss of a task without one, so that rungs of different tasks have the same name.
    """
    split, _, name = quality.rpartition("/")
    if name != SCORE or quality in metrics:
        return metrics.get(quality, math.nan)
    return metrics.get(f"{split}/accuracy", -metrics.get(f"{split}/loss", math.nan))


@dataclass(frozen=True, kw_only=True)
class RangeSpec:
    """Values of one field: a range of numbers, or the layers of a stack.

    `{low: 1e-4, high: 1e-2, log: true}`, or `{sequence: [M, A], length: 6, limit: {A: [1, 2]}}`.
    Whole ends give whole numbers.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    sequence: tuple[str, ...] = ()  # the symbols of a pattern
    length: int = 0  # layers of it
    limit: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def __post_init__(self) -> None:
        if not self.sequence:
            fix = "Write low: 1e-4 and high: 1e-2."
            for name in ("low", "high"):
                require(getattr(self, name) is not None, name, "is missing.", fix)
            low, high = self.ends()
            require(low < high, "high", f"{high} is not above {low}.", "Swap the two.")
            good = not self.log or low > 0
            require(good, "low", f"{low} is not above 0.", "Write log: false, or a larger one.")
            return
        require(self.length >= 1, "length", f"{self.length} is no count.", "Write 1 or more.")
        for symbol in self.limit:
            if symbol not in self.sequence:
                problem = f"{symbol!r} is none of the sequence."
                raise SpecError("limit", problem, allowed=self.sequence, found=symbol)
        least = sum(low for low, _ in self.limit.values())
        free = any(symbol not in self.limit for symbol in self.sequence)
        most = sum(high for _, high in self.limit.values())
        good = least <= self.length and (free or most >= self.length)
        fix = "Change the limits or the length."
        require(good, "limit", f"no pattern of {self.length} layers has such counts.", fix)
        ordered = all(0 <= low <= high for low, high in self.limit.values())
        require(ordered, "limit", "a pair is not [least, most].", "Write A: [1, 4].")

    def ends(self) -> tuple[float, float]:
        """Both ends of a range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def is_whole(self) -> bool:
        """Whether values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    """What proposes candidates."""

    kind: Literal["nsga2", "tpe", "random", "grid"] = "nsga2"
    population: int = 16  # candidates that are trained side by side, before the next are proposed
    trials: int = 64  # of each arm
    control: Literal["random", "none"] = "random"  # an arm with the same budget
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("population", "trials"):
            count = getattr(self, name)
            require(count >= 1, name, f"{count} is not a positive count.", "Write 1 or more.")

    def arms(self) -> tuple[str, ...]:
        """The samplers that propose, the control last."""
        control = () if self.control in ("none", self.kind) else (self.control,)
        return (self.kind, *control)


@dataclass(frozen=True, kw_only=True)
class RungSpec:
    """One stage: what every candidate that got here is trained on.

    Other keys are overrides of the run, such as `train.steps: 100` or `task: {kind: mqar, ...}`.
    """

    suite: str = ""  # a named set of such overrides; "confirm" repeats the rung before
    seeds: int = 2
    keep: float = 0.5  # part of the candidates that go on to the next rung
    overrides: Written = field(default_factory=dict[str, object], metadata={"rest": True})

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "seeds", f"{self.seeds} is not positive.", "Write 1 or more.")
        require(0 < self.keep <= 1, "keep", f"{self.keep} is not in (0, 1].", "Write 0.5.")


def _first_rungs() -> tuple[RungSpec, ...]:
    return (RungSpec(seeds=1, keep=0.25), RungSpec(suite="confirm", seeds=6))


@dataclass(frozen=True, kw_only=True)
class SearchSpec:
    """A search over specs: every candidate is the base with values from the space."""

    kind: ClassVar[str] = "search"

    base: BaseSpec = field(metadata={"fix": "Write base: PATH of a model's YAML."})
    task: TaskSpec
    space: Mapping[str, tuple[Scalar, ...] | RangeSpec]
    train: TrainSpec = field(default_factory=TrainSpec)
    limits: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    objectives: Mapping[str, Literal["min", "max"]] = field(
        default_factory=lambda: {"val/loss": "min", "tokens_per_s": "max"}
    )
    sampler: SamplerSpec = field(default_factory=SamplerSpec)
    rungs: tuple[RungSpec, ...] = field(default_factory=_first_rungs)
    run: EngineSpec = field(default_factory=EngineSpec)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    lowering: Literal["auto", "recurrent", "chunked", "triton"] = "auto"
    compile: Compile = True

    def __post_init__(self) -> None:
        fix = "Write space: {block.memory.network: [linear, mlp]}."
        require(bool(self.space), "space", "it is empty.", fix)
        fix = "Write rungs: [{seeds: 6}]."
        require(bool(self.trained), "rungs", "none of them trains.", fix)
        for name in self.limits:
            if name not in COSTS:
                raise SpecError(f"limits.{name}", "it is no cost.", tuple(COSTS), name)
        for key, one in self.space.items():
            fractions = isinstance(one, RangeSpec) and not one.sequence and not one.is_whole()
            fix = "Write the values as a list, or another kind."
            counted = self.sampler.kind != "grid" or not fractions
            require(counted, f"space.{key}", "a grid has no range of fractions.", fix)
        scores = [name for name in self.objectives if name not in COSTS]
        fix = "Write objectives: {val/loss: min, tokens_per_s: max}."
        one = f"{len(scores)} of them are scores of a run, not 1."
        require(len(scores) == 1, "objectives", one, fix)
        require(scores[0].startswith("val/"), "objectives", f"{scores[0]!r} is not on val.", fix)

    @property
    def quality(self) -> str:
        """The objective that training shows."""
        return next(name for name in self.objectives if name not in COSTS)

    @property
    def trained(self) -> tuple[RungSpec, ...]:
        """The rungs that train: the free one, `suite: static`, comes before them in any case."""
        return tuple(rung for rung in self.rungs if rung.suite != "static")

    def first(self) -> RunSpec:
        """The base as a run: what candidates override.

        Raises:
            SpecError: it cannot be built.
        """
        from playground.spec.expand import run_of  # that module reads this one

        return run_of(self)
