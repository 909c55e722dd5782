"""What a sweep left behind as plain values; a run that failed, or is not there, is still a run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from playground.report.measured import load_curve
from playground.report.places import at_place, of_a_grid
from playground.report.stats import (
    CONFIDENCE,
    HIGHER,
    LOWER,
    Paired,
    Tested,
    Verdict,
    corrected,
    direction,
    paired,
    summarize,
)

Status = Literal["ok", "failed", "missing"]
_SCORES = (HIGHER | LOWER) - {"loss"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run as its folder tells it.

    Attributes:
        status: "ok"; "failed" (it stopped, or its files cannot be read); "missing" (no result).
        reason: why it is not ok; "" if it is.
        params: count; state_bytes: of one sequence; flops_per_token: forward; tokens: seen.
        at: the place of the sweep's `across` that it was run at; "" without any.
    """

    variant: str
    seed: int
    fingerprint: str
    status: Status
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    folder: str = ""
    params: float | None = None
    state_bytes: float | None = None
    flops_per_token: float | None = None
    tokens: float | None = None
    wall_s: float | None = None
    began: float | None = None  # of the last attempt, seconds since 1970
    ended: float | None = None
    computed: str = ""  # device and precision; "" where that was not kept
    at: str = ""

    @property
    def label(self) -> str:
        """Variant, place and seed."""
        return f"{', '.join(filter(None, (self.variant, self.at)))}, seed {self.seed}"

    @cached_property
    def curve(self) -> tuple[Mapping[str, float], ...]:
        """The rows of metrics.jsonl with kind "eval" and split "val", by step."""
        return load_curve(Path(self.folder)) if self.folder else ()

    @cached_property
    def floor(self) -> tuple[str, float] | None:
        """Name and value of the floor that its loss is held to: bigram, or else the lowest.

        Floors of another score than the loss say so by their ending, as "linear_mae" does.
        """
        floors = self.floors_of("test/loss")
        name = "bigram" if "bigram" in floors else min(floors, key=floors.__getitem__, default="")
        return (name, floors[name]) if name else None

    def floors_of(self, metric: str) -> dict[str, float]:
        """What needs no model reaches, by name: `linear_mae` is that of linear in `test/mae`."""
        split, _, score = metric.rpartition("/")
        if split != "test":  # the only one that floors are of
            return {}
        if score == "loss":
            floors = {n: v for n, v in self.floors.items() if n.rpartition("_")[2] not in _SCORES}
        else:
            names = (name for name in self.floors if name.endswith(f"_{score}"))
            floors = {name.removesuffix(f"_{score}"): self.floors[name] for name in names}
        return {name.replace("_", " "): value for name, value in floors.items()}

    def value(self, metric: str) -> float | None:
        """The metric of a run that is ok, if it is a finite number."""
        found = self.metrics.get(metric)
        return found if self.status == "ok" and found is not None and math.isfinite(found) else None

    def problem(self, metric: str) -> str:
        """Why this run does not count for `metric`; "" if it does."""
        if self.status != "ok":
            return f"{self.status}: {self.reason}" if self.reason else self.status
        if metric not in self.metrics:
            return f"it has no {metric}"
        return "" if self.value(metric) is not None else f"{metric} is {self.metrics[metric]}"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the comparison.

    Attributes:
        overrides: what it changes in the base.
        dropped: overrides of the base that its own model has no field for.
    """

    name: str
    overrides: Mapping[str, Any]
    runs: tuple[Run, ...]
    dropped: tuple[str, ...] = ()

    @property
    def over(self) -> list[Run]:
        """The runs that ended, however they did."""
        return [run for run in self.runs if run.status != "missing"]

    def values(self, metric: str) -> dict[int, float]:
        """Seed -> metric of the runs that count, the mean over places if all of them do."""
        if metric not in self._known:
            found: dict[int, list[float | None]] = {}
            for run in self.runs:
                found.setdefault(run.seed, []).append(run.value(metric))
            means = ((seed, mean_of(values)) for seed, values in found.items())
            self._known[metric] = {seed: value for seed, value in means if value is not None}
        return self._known[metric]

    def counted(self, metric: str) -> int:
        """How many runs count for `metric`."""
        return sum(run.value(metric) is not None for run in self.runs)

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Where it is run; one without a name if there is but one."""
        return tuple(dict.fromkeys(run.at for run in self.runs))

    def costs(self, name: str) -> dict[str, float]:
        """Place -> mean of a cost over the runs that have it; places without any are not there."""
        found: dict[str, list[float]] = {}
        for run in self.runs:
            if (value := getattr(run, name)) is not None:
                found.setdefault(run.at, []).append(value)
        return {at: sum(values) / len(values) for at, values in found.items()}

    def cost(self, name: str) -> float | None:
        """The mean of a cost over its places; None if one of them has none yet."""
        found = self.costs(name)
        return (
            sum(found.values()) / len(found) if found and len(found) == len(self.places) else None
        )

    @cached_property
    def floor(self) -> tuple[str, float] | None:
        """The floor that losses are held to, the mean over places; `lowest` where they have not
        the same name. None if a place has none."""
        at_places = (self.at(place).runs for place in self.places)
        found = [next((run.floor for run in runs if run.floor), None) for runs in at_places]
        known = [floor for floor in found if floor is not None]
        if not known or len(known) < len(found):
            return None
        names = {name for name, _ in known}
        name = names.pop() if len(names) == 1 else "lowest"
        return name, sum(value for _, value in known) / len(known)

    def at(self, place: str) -> "Variant":
        """Its runs at one place."""
        return replace(self, runs=tuple(run for run in self.runs if run.at == place))

    @cached_property
    def _known(self) -> dict[str, dict[int, float]]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """How the values of a variant were chosen.

    Attributes:
        points: values tried, with the mean score over seeds; None for unfinished or failed.
        chosen: None while the tuning is not finished.
        edges: keys whose chosen value is the first or last of its grid.
        runs: the values were tried in.
        failed: a line for each of them that failed: values, seed and reason.
    """

    points: tuple[tuple[Mapping[str, Any], float | None], ...]
    chosen: Mapping[str, Any] | None
    edges: tuple[str, ...]
    runs: tuple[Run, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """What was tuned."""
        return tuple(self.points[0][0]) if self.points else ()


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep and all it left behind, the baseline first."""

    name: str
    baseline: str
    variants: tuple[Variant, ...]
    task: Mapping[str, Any]
    metrics: tuple[str, ...]
    formats: tuple[str, ...]
    test: str = "paired_t"
    correct: str = "holm"
    matched: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    audits: tuple[Mapping[str, Any], ...] = ()
    select: str = ""  # what the tuning went by
    x: str = "auto"  # what the primary metric is drawn over

    @property
    def primary(self) -> str:
        """The metric that differences are taken of."""
        return self.metrics[0]

    @property
    def base(self) -> Variant:
        """The variant of that name."""
        return self._named[self.baseline]

    def base_of(self, variant: Variant) -> Variant:
        """What a variant is compared with: the baseline, in a grid the baseline at its place."""
        return self._named.get(at_place(self.baseline, variant.name, self._named), self.base)

    @cached_property
    def compared(self) -> tuple[tuple[Variant, Variant], ...]:
        """Every variant that is compared, and what with."""
        return tuple((v, base) for v in self.variants if (base := self.base_of(v)) is not v)

    @property
    def where(self) -> str:
        """Which baseline variants are compared with, after its name; "" if there is but one."""
        return " at the same point of the grid" if of_a_grid(self._named) else ""

    @cached_property
    def _named(self) -> Mapping[str, Variant]:
        return {variant.name: variant for variant in self.variants}

    @cached_property
    def tests(self) -> Mapping[str, Tested]:
        """Tests of every variant that shares seeds with the baseline, on the primary metric."""
        return corrected({n: p for n, p in self._pairs.items() if p is not None}, self.correct)

    def difference(self, variant: Variant) -> Paired | None:
        """Of a variant to the baseline in the primary metric, over the seeds that both have."""
        return self._pairs.get(variant.name)

    def verdict(self, variant: Variant) -> Verdict:
        """Better or worse if the test tells so, corrected as the sweep asks for: with one interval
        for each of ten variants, some would exclude zero by chance. "unclear" where there are too
        few pairs for a test; by the interval alone where the sweep asks for no test."""
        pair, tested = self.difference(variant), self.tests.get(variant.name)
        if pair is None or tested is None:
            return "unclear"
        spoken = tested.p is not None and tested.p < 1 - CONFIDENCE
        return pair.verdict(self.primary) if spoken or self.test == "none" else "unclear"

    @property
    def pairs(self) -> set[int]:
        """How many pairs differences to the baseline are of."""
        return {pair.n for pair in self._pairs.values() if pair is not None}

    @property
    def judged_by(self) -> str:
        """What verdicts go by, in words."""
        if self.test == "none":
            ends = dict.fromkeys((min(self.pairs), max(self.pairs))) if self.pairs else ()
            n = f" (n = {' to '.join(map(str, ends))})" if ends else ""
            return f"the 95 % interval of each alone{n}, without a test"
        how = ", corrected for the number of variants" if self.correct == "holm" else ""
        return f"the paired t test{how}"

    @cached_property
    def _pairs(self) -> dict[str, Paired | None]:
        metric = self.primary
        return {v.name: paired(v.values(metric), base.values(metric)) for v, base in self.compared}

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Where every variant is run (`across`); one without a name if there is but one."""
        return self.base.places

    @cached_property
    def floor(self) -> tuple[str, float] | None:
        """The floor of the first variant that has one, the baseline's if it can be.

        A variant of another task has another: every run is held to its own.
        """
        return next((v.floor for v in self.variants if v.floor is not None), None)

    @cached_property
    def one_floor(self) -> bool:
        """Whether all runs have the same."""
        return len({run.floor for run in self.runs() if run.floor is not None}) < 2

    def foremost(self, count: int) -> tuple[Variant, ...]:
        """The baseline, and the others if there are not more than so many, else the best."""
        base, *others = self.variants
        if len(others) < count:
            return self.variants
        best = set(self._ranked[: count - 1])
        return (base, *(v for v in others if v.name in best))

    @cached_property
    def _ranked(self) -> tuple[str, ...]:
        """The variants with a mean of the primary metric, but for the baseline, best first."""
        sign = direction(self.primary) or -1
        found = {v.name: summarize(v.values(self.primary).values()) for v in self.variants[1:]}
        means = {name: summary.mean for name, summary in found.items() if summary is not None}
        return tuple(sorted(means, key=lambda name: -sign * means[name]))

    def runs(self) -> Iterator[Run]:
        """All runs, variant by variant."""
        for variant in self.variants:
            yield from variant.runs


def mean_of(values: Sequence[float | None]) -> float | None:
    """None if one is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
