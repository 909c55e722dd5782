"""Result files to plain values; a run that failed, or is not there, is still a run."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from playground.errors import DataError
from playground.files import read_json
from playground.report import text
from playground.report.measured import load_curve, numbers
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
DEFAULT_METRICS = ("test/loss",)
_SCORES = (HIGHER | LOWER) - {"loss"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run as its folder tells it.

    Attributes:
        status: "ok"; "failed" (it stopped, or its files cannot be read); "missing" (no result).
        reason: why it is not ok; "" if it is.
        params: count; state_bytes: of one sequence; flops_per_token: forward; tokens: seen.
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

    @cached_property
    def curve(self) -> tuple[Mapping[str, float], ...]:
        """The rows of metrics.jsonl with kind "eval" and split "val", by step."""
        return load_curve(Path(self.folder)) if self.folder else ()

    @cached_property
    def floor(self) -> tuple[str, float] | None:
        """Name and value of the floor that its loss is held to: bigram, or else the lowest.

        Floors of another score than the loss say so by their ending, as "linear_mae" does.
        """
        floors = {n: v for n, v in self.floors.items() if n.rpartition("_")[2] not in _SCORES}
        if "bigram" in floors:
            return "bigram", floors["bigram"]
        name = min(floors, key=lambda floor: floors[floor], default=None)
        return None if name is None else (name.replace("_", " "), floors[name])

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
        """Seed -> metric of the runs that count."""
        if metric not in self._known:
            found = {run.seed: run.value(metric) for run in self.runs}
            self._known[metric] = {s: value for s, value in found.items() if value is not None}
        return self._known[metric]

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
        return " at the same place" if of_a_grid(self._named) else ""

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
    def judged_by(self) -> str:
        """What verdicts go by, in words."""
        if self.test == "none":
            return "the 95 % interval of each alone, without a test"
        how = ", corrected for the number of variants" if self.correct == "holm" else ""
        return f"the paired t test{how}"

    @cached_property
    def _pairs(self) -> dict[str, Paired | None]:
        metric = self.primary
        return {v.name: paired(v.values(metric), base.values(metric)) for v, base in self.compared}

    @cached_property
    def floor(self) -> tuple[str, float] | None:
        """Name and value of the floor of the first run that has one, the baseline's if it can be.

        A variant of another task has another: every run is held to its own.
        """
        return next((run.floor for run in self.runs() if run.floor is not None), None)

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


def load_sweep(sweep_dir: Path, store_dir: Path) -> Sweep:
    """Read a sweep's plan and whatever its runs left.

    Args:
        sweep_dir: the folder with sweep.json.
        store_dir: the folder with one folder per fingerprint.

    Raises:
        DataError: sweep.json is missing or is not one.
    """
    path = sweep_dir / "sweep.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        baseline = str(plan["baseline"])
        planned = _variants(plan, store_dir)
        tuned = {n: _tuned(store_dir, n, entry) for n, entry in (plan.get("tuned") or {}).items()}
    except FileNotFoundError as error:
        raise DataError(str(sweep_dir), "it has no sweep.json.", "Start the sweep.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"it is not the plan of a sweep ({type(error).__name__}: {error})."
        raise DataError(str(path), problem, "Run the sweep again: runs are kept.") from error
    if baseline not in planned:
        problem = f"its baseline {baseline!r} is none of its variants."
        raise DataError(str(path), problem, f"They are {', '.join(planned)}.")
    shown: Mapping[str, Any] = plan.get("report") or {}
    return Sweep(
        name=str(plan.get("name") or sweep_dir.name),
        baseline=baseline,
        variants=(planned.pop(baseline), *planned.values()),
        task=plan.get("task") or {},
        metrics=tuple(shown.get("metrics") or DEFAULT_METRICS),
        formats=tuple(shown.get("formats") or ("md", "html", "csv")),
        test=str(shown.get("test") or "paired_t"),
        correct=str(shown.get("correct") or "holm"),
        matched=plan.get("matched") or {},
        tuned=tuned,
        audits=tuple(plan.get("audits") or ()),
        select=str(plan.get("select") or ""),
        x=str(shown.get("x") or "auto"),
    )


def _variants(plan: Mapping[str, Any], store_dir: Path) -> dict[str, Variant]:
    return {
        name: Variant(
            name=name,
            overrides=entry.get("overrides") or {},
            dropped=tuple(entry.get("dropped") or ()),
            runs=tuple(_load_run(store_dir, name, run) for run in entry["runs"]),
        )
        for name, entry in plan["variants"].items()
    }


def _tuned(store_dir: Path, variant: str, entry: Mapping[str, Any]) -> Tuned:
    at = [(point["values"], run) for point in entry["points"] for run in point.get("runs") or ()]
    runs = [(values, _load_run(store_dir, variant, run)) for values, run in at]
    return Tuned(
        points=tuple((point["values"], point["score"]) for point in entry["points"]),
        chosen=entry["chosen"],
        edges=tuple(entry["edges"]),
        runs=tuple(run for _, run in runs),
        failed=tuple(
            f"{text.plain(values)}, seed {run.seed}: {run.reason or run.status}"
            for values, run in runs
            if run.status == "failed"
        ),
    )


def _load_run(store_dir: Path, variant: str, entry: Mapping[str, Any]) -> Run:
    seed, fingerprint = int(entry["seed"]), str(entry["fingerprint"] or "")
    folder = f"{store_dir}/{fingerprint}" if fingerprint else ""

    def stopped(status: Status, reason: str) -> Run:
        """A run without a final result: what is known of it."""
        return Run(
            variant=variant,
            seed=seed,
            fingerprint=fingerprint,
            status=status,
            reason=reason,
            folder=folder,
        )

    if not fingerprint:
        return stopped("missing", "its values are still being tuned")
    try:
        result = read_json(f"{folder}/result.json")
        status: Status = "ok" if result["status"] == "ok" else "failed"
        return Run(
            variant=variant,
            seed=seed,
            fingerprint=fingerprint,
            status=status,
            reason=str(result.get("reason") or ""),
            metrics=numbers(result.get("metrics")),
            floors=numbers(result.get("floors")),
            folder=folder,
            computed=str(result.get("computed") or ""),
            **{name: result.get(name) for name in _TIMES},
            # a run that could not be carried out has no model: its sizes are not 0
            **{name: result.get(name) if result.get("params") else None for name in _SIZES},
        )
    except FileNotFoundError:
        begun = Path(folder).is_dir()
        return stopped("missing", "not finished: it has no result.json" if begun else "not started")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return stopped("failed", f"result.json cannot be read ({type(error).__name__}: {error})")


_SIZES = ("params", "state_bytes", "flops_per_token")
_TIMES = ("tokens", "wall_s", "began", "ended")
