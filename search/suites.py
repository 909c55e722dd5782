"""Named overrides of a rung: small tasks that tell architectures apart in seconds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import playground as pg

_MAD: Mapping[str, Any] = {"train.steps": 300, "train.batch": 32}
_MAD_TASK: Mapping[str, Any] = {"length": 32, "test_examples": 256}

# Each suite is one or more sets of overrides; with several a candidate has a run for each of
# them, and its score is their mean.
SUITES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "text-small": (
        {
            "task": {
                "kind": "text",
                "corpus": "python-stdlib",
                "length": 128,
                "stream_eval": False,
            },
            "train.steps": 100,
            "train.batch": 8,
        },
    ),
    "mqar-mini": (
        {
            "task": {"kind": "mqar", "vocab": 256, "length": 64, "pairs": 4, "test_examples": 256},
            "train.steps": 200,
            "train.batch": 16,
        },
    ),
    "mad-lite": (
        {"task": {"kind": "mad_recall", "vocab": 16, **_MAD_TASK}, **_MAD},
        {
            "task": {"kind": "mad_noisy_recall", "vocab": 16, "noise_vocab": 16, **_MAD_TASK},
            **_MAD,
        },
        {
            "task": {"kind": "mad_selective_copy", "vocab": 16, "copies": 4, **_MAD_TASK},
            **_MAD,
        },
    ),
}
SAME = "confirm"  # as the rung before


def at_rung(
    run: pg.RunSpec, rungs: Sequence[pg.RungSpec], at: int, seeds: Sequence[int] = (0,)
) -> list[list[pg.RunSpec]]:
    """A candidate's runs as a rung trains it: for every task of the suite one with each seed.

    Raises:
        SpecError: there is no such suite, or the run cannot take what the rung changes.
    """
    runs = [run]
    for choices in _overrides(rungs, at):
        runs = [pg.override(one, values) for one in runs for values in choices]
    return [[replace(one, seed=seed) for seed in seeds] for one in runs]


def _overrides(rungs: Sequence[pg.RungSpec], at: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """What a rung changes of a run, in order; each is one or more alternatives."""
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
        yield (rung.overrides,)
