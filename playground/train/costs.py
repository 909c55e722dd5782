"""What a model costs: learned numbers, bytes a sequence carries, FLOPs of a token."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from playground.compile import build
from playground.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Sizes of a model.

    Attributes:
        params: learned numbers.
        state_bytes: of one sequence, before its first token.
        flops_per_token: of a forward pass.
    """

    params: int
    state_bytes: int
    flops_per_token: int


def costs_of(model: nn.Module) -> Costs:
    """The costs of a model that is built."""
    with torch.no_grad():
        state = cast(Any, model).start(1)
    return Costs(
        params=sum(p.numel() for p in model.parameters()),
        state_bytes=state.num_bytes(),
        flops_per_token=0,
    )


def costs_of_spec(spec: ModelSpec, length: int = 8) -> Costs:
    """The costs of a model that is built of fake tensors: nothing is computed or allocated.

    A few tokens are sent through it, so that shapes that do not fit are found.
    """
    with FakeTensorMode(), torch.no_grad():
        model = build(spec)
        model(torch.zeros(1, length, dtype=torch.int64))
        return costs_of(model)
