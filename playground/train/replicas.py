"""Which runs can be one program, and whether that program pays to be compiled."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from playground.compile import products, stack
from playground.compile.flops import flops_per_token
from playground.compile.masks import completed, host_of
from playground.compile.stacked import is_whole
from playground.errors import SpecError
from playground.spec import OptimSpec, RunSpec, canonical_json
from playground.train.member import Member
from playground.train.optims import StackedOptimizers
from playground.train.program import Alone, Program, Together

EAGER = 25e9  # FLOPs a second of an eager stack on a core: 15 to 37 measured
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
    eager, *compiled = forms  # evaluations stay eager: a graph for them alone would not pay
    form = compiled[0] if compiled and compiling_pays(members) else eager
    return Together(members, optimizers, form, scored=eager)


def compiling_pays(members: Sequence[Member]) -> bool:
    """Whether a compiled form of a stack's steps saves more time than it takes, on a CPU.

    By FLOPs and the steps of whole runs, not by a clock or what is left of them: the last bits of a
    run are those of its form, and would else depend on how busy the machine is, and on stops.
    """
    work = sum(map(_training_flops, members))
    gain = GAIN + products.pays() * GAIN_OF_PRODUCTS
    return gain * work / EAGER > COMPILING_S


def _training_flops(member: Member) -> float:
    """Of all steps of a run, with their backward passes."""
    model, spec = cast(Any, member.model), member.spec
    return (
        3 * flops_per_token(model.plan, model.length or spec.example_length) * spec.training_tokens
    )
