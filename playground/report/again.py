"""Runs of the page that were made again: how far their scores are from the record's."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from playground.report.records import Json, Record
from playground.report.rows import SPEED
from playground.report.text import counted


@dataclass(frozen=True, kw_only=True)
class Again:
    """The runs of one experiment that lie in the stores, beside those of its record.

    Attributes:
        runs: that lie in the stores.
        own: of these, the ones the record was made of.
        repeated: of these, the ones the record has from another time.
        far: the largest relative difference of a score that both have; None without any.
        where: that score, with both values; "" where none differs.
        otherwise: how the runs were made that were made otherwise; last digits go with it.
        changed: what one of the two has alone: a failure, a score, a number.
        earlier: whether the record is of an earlier form of the spec.
    """

    runs: int
    own: int = 0
    repeated: int = 0
    far: float | None = None
    where: str = ""
    otherwise: tuple[str, ...] = field(default=())
    changed: tuple[str, ...] = field(default=())
    earlier: bool = False

    def __str__(self) -> str:
        parts = [counted(self.runs, "run")]
        parts += [f"{self.own} of them the record's own"] if self.own else []
        if self.repeated:
            again = f"{self.repeated} of them again"
            if self.far == 0 and not self.changed:
                again += ": the record's scores, to the last digit"
            elif self.far is not None:
                shown = f" ({self.where})" if self.where else ""
                again += f": scores within {self.far:.1e} of the record's{shown}"
            parts.append(again)
        if new := self.runs - self.own - self.repeated:
            parts.append(f"{new} new to the record")
        line = "; ".join([", ".join(parts), *self.otherwise, *self.changed])
        return f"{line}; the record is of an earlier form of the spec" if self.earlier else line


def again(old: Record | None, new: Record) -> Again:
    """Compare runs with those of a record, each with that of its variant, place and seed.

    Args:
        old: the record; None for none.
        new: the same experiment, from the stores alone.
    """
    before = {} if old is None else dict(_named(old))
    named = list(_named(new))
    pairs = [(name, before[name], run) for name, run in named if name in before]
    own = [pair for pair in pairs if _ended(pair[1]) == _ended(pair[2])]
    pairs = [pair for pair in pairs if pair not in own]
    found = [
        (abs(now - was) / max(abs(was), abs(now)) if was != now else 0.0, name, score, was, now)
        for name, one, run in pairs
        for score, was in _scores(one).items()
        if math.isfinite(was) and math.isfinite(now := _scores(run).get(score, math.nan))
    ]
    far, name, score, was, now = max(found, default=(None, "", "", 0.0, 0.0))
    return Again(
        runs=len(named),
        own=len(own),
        repeated=len(pairs),
        far=far,
        where=f"{name}: {score} {now:.6g} for {was:.6g}" if far else "",
        otherwise=tuple(_otherwise(pairs)) if far else (),
        changed=tuple(line for pair in pairs for line in _changed(*pair)),
        earlier=old is not None and bool(pairs) and old.spec != new.spec,
    )


def _otherwise(pairs: Iterable[tuple[str, Json, Json]]) -> Iterator[str]:
    """Other machines and stacks, each once with the number of runs that it is of."""
    shown = {"replicas": "{} trained together for {}", "machine": "on {} for {}"}
    for key, words in shown.items():
        both = ((run.get(key), was.get(key)) for _, was, run in pairs)
        for (now, was), n in Counter(one for one in both if None not in one).items():
            if now != was and not str(now).startswith(f"{was} of "):  # that did not say its kind
                yield f"{words.format(now, was)} ({counted(n, 'run')})"


def _changed(name: str, was: Json, run: Json) -> Iterator[str]:
    """What cannot be told by a difference of numbers."""
    if _ok(was) != _ok(run):
        yield f"{name}: {run.get('reason') or 'ok'}, before {was.get('reason') or 'ok'}"
        return
    before, after = _scores(was), _scores(run)
    for score in {**before, **after}:  # in the order of the record
        one, other = after.get(score), before.get(score)
        if one is None or other is None or math.isfinite(one) != math.isfinite(other):
            shown = ("none" if value is None else f"{value:.6g}" for value in (one, other))
            yield f"{name}: {score} {' for '.join(shown)}"


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


def _ended(run: Json) -> object:
    """The same for one run that was recorded, and for no two."""
    return run.get("date"), run.get("wall_s")


def _scores(run: Json) -> Mapping[str, float]:
    return {name: value for name, value in run.get("metrics", {}).items() if name != SPEED}
