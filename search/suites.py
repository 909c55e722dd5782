"""Named overrides of a rung: small tasks that tell architectures apart in seconds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import playground as pg

SUITES: Mapping[str, Mapping[str, Any]] = {
    "text-small": {
        "task": {"kind": "text", "corpus": "python-stdlib", "length": 128, "stream_eval": False},
        "train.steps": 100,
        "train.batch": 8,
    },
    "mqar-mini": {
        "task": {"kind": "mqar", "vocab": 256, "length": 64, "pairs": 4, "test_examples": 256},
        "train.steps": 200,
        "train.batch": 16,
    },
}
SAME = "confirm"  # as the rung before


def at_rung(run: pg.RunSpec, rungs: Sequence[pg.RungSpec], at: int) -> pg.RunSpec:
    """A candidate's run as a rung trains it.

    Raises:
        SpecError: there is no such suite, or the run cannot take what the rung changes.
    """
    for values in _overrides(rungs, at):
        run = pg.override(run, values)
    return run


def _overrides(rungs: Sequence[pg.RungSpec], at: int) -> Iterator[Mapping[str, Any]]:
    """What a rung changes of a run, in order."""
    rung = rungs[at]
    if rung.suite == SAME:
        if at > 0:
            yield from _overrides(rungs, at - 1)
    elif rung.suite:
        if rung.suite not in SUITES:
            path = f"rungs.{at}.suite"
            allowed = (*SUITES, SAME)
            raise pg.SpecError(path, f"{rung.suite!r} is no suite.", allowed, rung.suite)
        yield SUITES[rung.suite]
    if rung.overrides:
        yield rung.overrides
