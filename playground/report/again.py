"""Runs of the page that were made again: how far their scores are from the record's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from playground.report.records import Json, Record
from playground.report.rows import SPEED
from playground.report.text import counted


@dataclass(frozen=True, kw_only=True)
class Again:
    """The runs of one experiment that lie in the stores, beside those of its record.

    Attributes:
        runs: that lie in the stores.
        repeated: of these, the ones the record has, too.
        far: the largest relative difference of a score that both have; None without any.
        where: that score, with both values; "" where none differs.
        changed: runs that failed in one of the two alone.
    """

    runs: int
    repeated: int = 0
    far: float | None = None
    where: str = ""
    changed: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        if not self.repeated:
            return f"{counted(self.runs, 'run')}, new to the record"
        line = f"{counted(self.runs, 'run')}, {self.repeated} of them again"
        if self.far == 0:
            line += ": the record's scores, to the last digit"
        elif self.far is not None:
            line += f": scores within {self.far:.1e} of the record's ({self.where})"
        return "; ".join([line, *self.changed])


def again(old: Record | None, new: Record) -> Again:
    """Compare runs with those of a record, each with that of its variant, place and seed.

    Args:
        old: the record; None for none.
        new: the same experiment, from the stores alone.
    """
    before = {} if old is None else dict(_named(old))
    pairs = [(name, before[name], run) for name, run in _named(new) if name in before]
    changed = [
        f"{name}: {run.get('reason') or 'ok'}, before {was.get('reason') or 'ok'}"
        for name, was, run in pairs
        if _ok(was) != _ok(run)
    ]
    found = [
        (_relative(was, now), f"{name}: {score} {now:.6g} for {was:.6g}")
        for name, one, run in pairs
        for score, was in _scores(one).items()
        if (now := _scores(run).get(score)) is not None
    ]
    far, where = max(found, default=(None, ""))
    return Again(
        runs=len(list(_named(new))),
        repeated=len(pairs),
        far=far,
        where=where if far else "",
        changed=tuple(changed),
    )


def _named(record: Record) -> Iterator[tuple[str, Json]]:
    """Every run by what tells it from the others."""
    for run in record.runs:
        at = ", ".join(f"{key}={json.dumps(value)}" for key, value in run.get("at", {}).items())
        yield ", ".join(filter(None, (at, f"seed {run['seed']}"))), run
    for name, variant in record.sweep.get("variants", {}).items():
        for run in variant["runs"]:
            parts = (name, run.get("place", ""), f"seed {run['seed']}")
            yield ", ".join(filter(None, parts)), run


def _ok(run: Json) -> bool:
    return run.get("status", "ok") == "ok"


def _scores(run: Json) -> Mapping[str, float]:
    return {name: value for name, value in run.get("metrics", {}).items() if name != SPEED}


def _relative(was: float, now: float) -> float:
    return 0.0 if was == now else abs(now - was) / max(abs(was), abs(now))
