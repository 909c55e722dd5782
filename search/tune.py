"""Values chosen for every variant before the comparison: learning rates and the like.

A variant is trained at every point of a grid, with seeds that the comparison does not use, and
scored on the validation split alone (`train.score_test: false`); the comparison takes what was best
on average. A best value at the edge of its grid says that the grid was too small: it grows, the
report says so, or the sweep is refused. All of this is a function of the run store: no other file
remembers a choice.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import playground as pg
from search.job import Job, Jobs, blind

EXTENSIONS = 4  # how often a grid grows in one direction before the edge is only reported

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of the grid.

    Attributes:
        score: mean over the seeds; None while a run has no result, NaN if one failed.
        round: how often the grid had grown when the point came into it.
    """

    values: Values
    jobs: tuple[Job, ...]
    score: float | None
    round: int


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The tuning of one variant as far as it is.

    Attributes:
        points: those of the grid, and those by which it grew.
        chosen: the values of the comparison; None while a run is missing. Empty if no point
            has a score: the variant runs as it is written.
        edges: keys whose chosen value is the first or last of its grid.
    """

    variant: str
    points: tuple[Point, ...]
    chosen: Values | None
    edges: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in sweep.json."""
        return {
            "chosen": None if self.chosen is None else dict(self.chosen),
            "edges": list(self.edges),
            "points": [
                {
                    "values": dict(point.values),
                    "score": None
                    if point.score is None or math.isnan(point.score)
                    else point.score,
                    "runs": [job.entry for job in point.jobs],
                }
                for point in self.points
            ],
        }


def check_grid(spec: pg.SweepSpec, runs: Sequence[pg.SweepRun]) -> int:
    """How many runs the grids take before they grow; reads no data.

    Args:
        spec: of the sweep; its `tune` is set.
        runs: one of every variant, and of every place that it is run at.

    Raises:
        SpecError: a score without a known end, or a value that a variant cannot take.
    """
    assert spec.tune is not None
    _check_select(spec.tune.select)
    points = list(_grid(spec.tune.grid))
    for run in runs:
        for values in points:
            with_values(run, values)
    return len(runs) * len(points) * len(spec.tune_seeds())


def _check_select(select: str) -> None:
    if pg.direction(select) == 0:
        problem = f"nobody said whether much or little of {select!r} is good."
        fix = "Write val/loss, val/accuracy or another score with a known end."
        raise pg.SpecError("tune.select", problem, fix=fix)


def _grid(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values."""
    for combination in itertools.product(*axes.values()):
        yield dict(zip(axes, combination, strict=True))


def tuned(
    runs: Sequence[pg.SweepRun], spec: pg.SweepSpec, jobs: Jobs, store: pg.RunStore | None
) -> Tuned:
    """The tuning of a variant: the runs it takes, and what they have found.

    Args:
        runs: one of the variant at every place; a value's score is the mean over them.
        spec: of the sweep; its `tune` is set.
        jobs: makes the runs.
        store: where results are looked up; None for no results.

    Raises:
        SpecError: a value of the grid that the variant cannot take; the edge, where it refuses.
    """
    assert spec.tune is not None
    _check_select(spec.tune.select)
    variant = runs[0].variant
    axes = {key: list(values) for key, values in spec.tune.grid.items()}
    left = EXTENSIONS if spec.tune.edge == "extend" else 0
    points: tuple[Point, ...] = ()
    while True:
        points = _points(runs, spec, axes, jobs, store, points)
        if any(point.score is None for point in points):
            return Tuned(variant=variant, points=points, chosen=None)
        best = _best(points, spec.tune.select)
        edges = _edges(best, axes)
        if not left or not _grown(axes, edges, best, runs):
            break
        left -= 1
    if edges and spec.tune.edge == "error":
        key = edges[0]
        raise pg.SpecError(
            f"tune.grid.{key}",
            f"{variant!r} is best at {best[key]}, the edge of {list(spec.tune.grid[key])}.",
            fix="Add values beyond it, or write edge: extend.",
        )
    return Tuned(variant=variant, points=points, chosen=best, edges=tuple(edges))


def _points(
    runs: Sequence[pg.SweepRun],
    spec: pg.SweepSpec,
    axes: Mapping[str, Sequence[Any]],
    jobs: Jobs,
    store: pg.RunStore | None,
    before: Sequence[Point],
) -> tuple[Point, ...]:
    """The points of a grid; `before` are those of the grid that this one has grown from."""
    assert spec.tune is not None
    rounds = {tuple(point.values.values()): point.round for point in before}
    new = max(rounds.values(), default=-1) + 1
    found = []
    for values in _grid(axes):
        here: tuple[Job, ...] = ()
        for run in runs:
            blinded = blind(with_values(run, values))
            specs = [replace(blinded, seed=seed) for seed in spec.tune_seeds()]
            here += tuple(jobs.jobs(run.variant, specs, values, run.at))
        score = None if store is None else _score(here, spec.tune.select, store)
        since = rounds.get(tuple(values.values()), new)
        found.append(Point(values=values, jobs=here, score=score, round=since))
    return tuple(found)


def with_values(run: pg.SweepRun, values: Values) -> pg.RunSpec:
    """The variant's run with other values.

    Raises:
        SpecError: it cannot take them.
    """
    try:
        return pg.override(run.spec, values)
    except pg.SpecError as error:
        raise error.under(f"tune.grid, variant {run.variant}") from None


def _score(jobs: Sequence[Job], metric: str, store: pg.RunStore) -> float | None:
    results = [store.run(job.fingerprint).result() for job in jobs]
    if any(result is None for result in results):
        return None
    for result in results:
        if result is not None and result.ok and metric not in result.metrics:
            scores = [name for name in result.metrics if name.startswith("val/")]
            raise pg.SpecError("tune.select", "a run has no such score.", scores, found=metric)
    return mean(
        result.metrics.get(metric, math.nan) if result is not None and result.ok else math.nan
        for result in results
    )


def _best(points: Sequence[Point], metric: str) -> Values:
    """Values of the best point; of equals the first. Empty where every point failed."""
    sign = pg.direction(metric)
    scored = [p for p in points if p.score is not None and math.isfinite(p.score)]
    return max(scored, key=lambda p: sign * (p.score or 0.0)).values if scored else {}


def _edges(best: Values, axes: Mapping[str, Sequence[Any]]) -> list[str]:
    return [
        key
        for key, value in best.items()
        if _is_scale(axes[key]) and value in (min(axes[key]), max(axes[key]))
    ]


def _is_scale(values: Sequence[Any]) -> bool:
    """Whether there is a beyond: two numbers or more."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and len(values) > 1


def _grown(
    axes: dict[str, list[Any]], edges: Sequence[str], best: Values, runs: Sequence[pg.SweepRun]
) -> bool:
    """Add the next value beyond the best one to every such axis, in place; whether any was."""
    grew = False
    for key in edges:
        value = _beyond(axes[key], best[key])
        try:
            for run in runs:
                with_values(run, {**best, key: value})
        except pg.SpecError:  # such as a chance above 1: the edge is where the values end
            continue
        if value not in axes[key]:
            axes[key].append(value)
            grew = True
    return grew


def _beyond(values: Sequence[Any], end: Any) -> Any:
    """The next value after the end of a scale: by the last ratio, or step where signs differ."""
    ordered = sorted(values, reverse=end == min(values))
    before = ordered[-2]
    number = end * end / before if end * before > 0 else end + (end - before)
    return round(number) if isinstance(end, int) else float(f"{number:.3g}")
