"""Which runs can be one program, and whether that program pays to be compiled."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, ClassVar

from playground.compile import products, stack
from playground.compile.masks import completed, host_of
from playground.compile.stacked import is_whole
from playground.errors import SpecError
from playground.spec import OptimSpec, RunSpec, canonical_json
from playground.tasks import Batch, Scores
from playground.tasks import Progress as Told
from playground.train.member import Member
from playground.train.optims import StackedOptimizers
from playground.train.program import Alone, Program, Together

log = logging.getLogger(__name__)

TIMED = 20  # steps of each form before the faster one is kept
COMPILING_S = 45.0  # what a small model takes on a CPU, beside another one: 33 to 60 measured
GAIN = 0.2  # part of an eager step's time that compiling saves: five measured, .04 to .33
GAIN_OF_PRODUCTS = 0.1  # what it saves beyond that where it also brings products of our own


def stack_key(spec: RunSpec) -> str | None:
    """Equal for runs that can be trained together; None for a run that has to be alone.

    Such runs differ in their seed, in the optimizer's numbers, and in parts that a model lacks
    where it could have weights that do nothing: momentum, decay, convolution. A model with loops
    over segments is faster alone, where their bodies are compiled.
    """
    resets = getattr(spec.task, "documents", "carry") == "reset"  # rows of a stack have no restart
    if resets or spec.train.softmax_sample or (spec.compile is True and not is_whole(spec.model)):
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
    host = host_of([member.spec.model for member in members])
    weights, forms = stack(
        host,
        models,
        device=str(first.device),
        lowering=first.spec.lowering,
        compile=first.spec.compile,
    )
    optimizers = StackedOptimizers([member.optimizer for member in members], weights)
    programs = [Together(members, optimizers, form) for form in forms]
    if len(programs) == 1:
        return programs[0]
    shape = (stack_key(first.spec), canonical_json(host), len(members))
    return Faster(*programs, steps=first.steps - first.step, shape=shape)


class Faster:
    """The eager form of a stack, on a CPU with compiled loops, and the compiled one if it pays.

    The eager form goes first and is timed. If so many steps are left that a compiled form would
    gain more time than compiling takes, that is timed too; the faster one goes on.
    A process that has found out once does not ask again for stacks of the same shape.

    Args:
        eager: the form that needs seconds of preparation at most; it also evaluates.
        compiled: the other.
        steps: how many there are to do.
        shape: equal for stacks that share compiled programs; None for none.
    """

    _known: ClassVar[dict[object, bool]] = {}  # shape -> whether the compiled form is faster

    def __init__(
        self, eager: Together, compiled: Together, *, steps: int, shape: object = None
    ) -> None:
        self.members, self._steps, self._shape = eager.members, steps, shape
        self._eager, self._compiled = eager, compiled
        known = self._known.get(shape)
        self._kept = None if known is None else (compiled if known else eager)
        self._seconds: tuple[list[float], list[float]] = ([], [])

    @property
    def settling(self) -> bool:
        """See `Program`: while forms are tried."""
        return self._kept is None

    def clear(self) -> None:
        """See `Program`; gradients and optimizers are those of both forms."""
        self._eager.clear()

    def norms(self) -> list[float]:
        """See `Program`."""
        return self._eager.norms()

    def step(self) -> None:
        """See `Program`."""
        self._eager.step()

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """See `Program`."""
        if self._kept is not None:
            return self._kept.gradients(parts, scored)
        before, after = self._seconds
        form, seconds = (self._eager, before)
        if len(before) > TIMED:  # the first call of each says nothing
            form, seconds = self._compiled, after
        began = time.perf_counter()
        losses = form.gradients(parts, scored)
        seconds.append(time.perf_counter() - began)
        if len(after) > TIMED:
            self._settle(median(after[1:]) < median(before[1:]))
        elif len(before) > TIMED and not after:
            left = self._steps - len(before)
            gain = GAIN + products.pays() * GAIN_OF_PRODUCTS
            if left * median(before[1:]) * gain < COMPILING_S:
                self._kept = self._eager
        return losses

    def _settle(self, compiled: bool) -> None:
        before, after = (median(seconds[1:]) for seconds in self._seconds)
        log.info("a step takes %.4f s eagerly and %.4f s compiled", before, after)
        self._kept = self._compiled if compiled else self._eager
        if self._shape is not None:
            self._known[self._shape] = compiled

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Told | None = None
    ) -> list[Scores]:
        """See `Program`: eagerly, a graph for evaluations alone would not pay."""
        return self._eager.evaluate(split, batches=batches, progress=progress)
