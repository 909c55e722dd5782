"""What a table and a bar of the page are made of: the runs of an experiment, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from playground.report import text
from playground.report.page import Experiment
from playground.report.records import Json, Record, run_of

Samples = Mapping[tuple[Any, ...], float]  # (seed, fold...) -> value


@dataclass(frozen=True, kw_only=True)
class Row:
    """Runs that one row of a table is the mean of: all of an experiment, or those of a part."""

    title: str
    runs: tuple[Json, ...]
    parts: tuple[str, ...] = ()  # keys over which a sample is a mean itself
    whole: int = 1  # runs of a sample: as many as there are parts
    wanted: int = 0  # samples: seeds times folds

    @property
    def good(self) -> list[Json]:
        """Those that are ok."""
        return [run for run in self.runs if run.get("status", "ok") == "ok"]

    def samples(self, metric: str) -> Samples:
        """A value per seed and fold; of parts their mean, if every part is there."""
        groups: dict[tuple[Any, ...], list[float]] = {}
        for run in self.good:
            at = {k: v for k, v in run.get("at", {}).items() if k not in self.parts}
            value = value_of(run, metric)
            if value is not None:
                groups.setdefault((run["seed"], *sorted(at.items())), []).append(value)
        return {at: mean(found) for at, found in groups.items() if len(found) == self.whole}


def value_of(run: Json, metric: str) -> float | None:
    """A metric of a run, or what it cost (params, wall_s, ...), if it is a finite number."""
    costs = getattr(run_of(run), metric, None) if metric.isidentifier() else None
    found = run_of(run).value(metric) if metric in run.get("metrics", {}) else costs
    return float(found) if isinstance(found, int | float) else None


def rows_of(name: str, one: Experiment, record: Record | None) -> list[Row]:
    """The rows of an experiment: one for each part, if it has parts, and one of all."""
    title, runs = one.title or name, record.runs if record else ()
    count = len(one.seeds)
    for values in one.folds.values():
        count *= len(values)
    found, whole = [], 1
    if one.parts:
        (key,) = one.parts
        whole = len(one.parts[key])
        for value in one.parts[key]:
            mine = tuple(run for run in runs if run.get("at", {}).get(key) == value)
            label = f"{title}, {key.rpartition('.')[2]} {text.plain(value)}"
            found.append(Row(title=label, runs=mine, wanted=count))
        title = f"{title}, mean"
    row = Row(title=title, runs=runs, parts=tuple(one.parts), whole=whole, wanted=count)
    return [*found, row]
