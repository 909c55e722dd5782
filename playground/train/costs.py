"""What a model costs: learned numbers, bytes a sequence carries, FLOPs of a token."""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from playground.compile import Target, build, make_plan
from playground.compile.flops import flops_per_token
from playground.spec import ModelSpec, RunSpec
from playground.spec.run import TYPICAL


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Sizes of a model.

    Attributes:
        params: learned numbers.
        state_bytes: of one sequence, at the length that was asked for.
        flops_per_token: of a forward pass over that length, by the formulas of compile/flops.py;
            every memory in the form that the plan chose for it.
    """

    params: int
    state_bytes: int
    flops_per_token: int


def costs_of(model: nn.Module, length: int = TYPICAL) -> Costs:
    """The costs of a model that is built.

    Args:
        model: from `build` or `compile`, with its plan; on any device, not compiled for this.
        length: tokens of the sequence, at least 1; attention without a window grows with it. A
            model of series has its own length.
    """
    stream, device = cast(Any, model), next(model.parameters()).device
    fixed, last = stream.length, torch.full((1, 1), length - 1, device=device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            positions = {} if fixed else {"positions": last}  # a head costs more than the rest
            _, state = stream(stream.example(1, length), stream.start(1), **positions)
    finally:
        model.train(was_training)
    return Costs(
        params=_params(model),
        state_bytes=state.num_bytes(),
        flops_per_token=flops_per_token(stream.plan, fixed or length),
    )


def costs_of_spec(spec: ModelSpec, length: int = TYPICAL, lowering: str = "auto") -> Costs:
    """The costs of a model that is built of fake tensors: nothing is computed or allocated.

    A sequence is sent through it, so that shapes that do not fit are found. Only FLOPs depend on
    the form; kernels compute the chunk form, which is what `triton` counts as.

    Raises:
        LoweringError: nothing can run it.
    """
    with _fakes(spec):
        model = build(spec)
        found = costs_of(model, length)
    if lowering in ("auto", "triton"):
        return found
    plan = make_plan(spec, Target(compile=False), lowering=lowering)
    return replace(found, flops_per_token=flops_per_token(plan, cast(Any, model).length or length))


def costs_of_run(run: RunSpec) -> Costs:
    """The costs of a run's model at the run's length, in the run's form, as its result has them.

    Raises:
        LoweringError: nothing can run it.
    """
    return costs_of_spec(run.model, run.example_length, run.lowering)


def params_of_spec(spec: ModelSpec) -> int:
    """Learned numbers of a model, for which no sequence has to be sent through it.

    Raises:
        LoweringError: nothing can run it.
    """
    with _fakes(spec):
        return _params(build(spec))


def _fakes(spec: ModelSpec) -> FakeTensorMode:
    make_plan(spec, Target(compile=False))  # finds the classes of rules, with real numbers, once
    return FakeTensorMode()


def _params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
