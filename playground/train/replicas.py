"""Which runs can be one program, and whether that program pays to be compiled."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from playground.compile import stack
from playground.compile.masks import completed, host_of
from playground.compile.stacked import is_whole
from playground.errors import SpecError
from playground.spec import OptimSpec, RunSpec, canonical_json
from playground.tasks import Batch, Scores
from playground.tasks import Progress as Told
from playground.train.member import Member
from playground.train.program import Alone, Program, Together

log = logging.getLogger(__name__)

TIMED = 20  # steps of each form before the faster one is kept
WORTH = 5 * TIMED  # steps below which nothing is compiled


def stack_key(spec: RunSpec) -> str | None:
    """Equal for runs that can be trained together; None for a run that has to be alone.

    Such runs differ in their seed, in the optimizer's numbers, and in parts that a model lacks
    where it could have weights that do nothing: momentum, decay, convolution. A model with loops
    over segments is faster alone, where their bodies are compiled.
    """
    if spec.compile and not is_whole(spec.model):
        return None
    plain = replace(spec, seed=0, train=replace(spec.train, optim=OptimSpec()))
    plain = replace(plain, model=completed(spec.model))
    written = canonical_json(plain)
    return None if _drops(json.loads(written)) else written


def _drops(value: Any) -> bool:
    """Whether there is dropout: drawn for a stack it would not be that of a run alone."""
    if isinstance(value, dict):
        return any(_drops(item) or (key == "dropout" and item) for key, item in value.items())
    return isinstance(value, list) and any(_drops(item) for item in value)


def check_alike(specs: Sequence[RunSpec]) -> None:
    """Refuse runs that cannot be one program.

    Raises:
        SpecError: naming the reason.
    """
    keys = {stack_key(spec) for spec in specs}
    if len(specs) > 1 and (len(keys) > 1 or None in keys):
        problem = "the runs differ in more than seed, optimizer and masks, or cannot be stacked."
        raise SpecError("", problem, fix="Train them one by one.")


def make_program(members: Sequence[Member]) -> Program:
    """The program of members that share a `stack_key`."""
    first = members[0]
    if len(members) == 1:
        return Alone(first)
    models: list[Any] = [member.model for member in members]
    weights, forms = stack(
        host_of([member.spec.model for member in members]),
        models,
        device=str(first.device),
        lowering=first.spec.lowering,
        compile=first.spec.compile and first.steps - first.step >= WORTH,
    )
    programs = [Together(members, weights, form) for form in forms]
    return programs[0] if len(programs) == 1 else Faster(*programs)


class Faster:
    """Two forms of one program: each is timed for some steps, and the faster one goes on."""

    def __init__(self, *forms: Together) -> None:
        self.members = forms[0].members
        self._left = [(form, TIMED + 1) for form in forms]  # the first call of each compiles
        self._seconds: dict[Together, list[float]] = {form: [] for form in forms}
        self._kept = forms[0]

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """See `Program`."""
        if not self._left:
            return self._kept.gradients(parts, scored)
        form, calls = self._left[0]
        began = time.perf_counter()
        losses = form.gradients(parts, scored)
        self._seconds[form].append(time.perf_counter() - began)
        self._left[0] = (form, calls - 1)
        if calls == 1:
            del self._left[0]
        if not self._left:
            self._choose()
        return losses

    def _choose(self) -> None:
        medians = {form: median(seconds[1:]) for form, seconds in self._seconds.items()}
        self._kept = min(medians, key=lambda form: medians[form])
        log.info("of two forms %s s a step: the faster goes on", list(medians.values()))

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Told | None = None
    ) -> list[Scores]:
        """See `Program`."""
        return self._kept.evaluate(split, batches=batches, progress=progress)
