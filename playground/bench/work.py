"""What is timed: a forward pass over a problem, or a forward and a backward pass."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from memory_rules import Scan
from memory_rules.testing import Case

Mode = Literal["forward", "forward_backward"]
MODES: tuple[Mode, ...] = ("forward", "forward_backward")


def forward(scan: Scan, case: Case) -> Callable[[], Tensor]:
    """The scan without gradients, the starting state included; gives y [B, T, H, V]."""

    def run() -> Tensor:
        with torch.no_grad():
            return scan(case.rule, case.state(), case.inputs)[0]

    return run


def forward_backward(scan: Scan, case: Case) -> Callable[[], tuple[Tensor, ...]]:
    """The scan and the gradients of its outputs to tokens, gates and weights, by leaf."""
    leaves = {n: x.detach().clone().requires_grad_() for n, x in case.leaves().items()}
    tracked, wanted = case.with_leaves(leaves), list(leaves.values())
    towards = torch.randn(case.inputs.v.shape, generator=torch.Generator().manual_seed(3))
    towards = towards.to(case.inputs.v)

    def run() -> tuple[Tensor, ...]:
        y, _ = scan(tracked.rule, tracked.state(), tracked.inputs)
        return torch.autograd.grad(y, wanted, towards, allow_unused=True, materialize_grads=True)

    return run


def work(mode: Mode, scan: Scan, case: Case) -> Callable[[], object]:
    """The function of a mode."""
    return forward(scan, case) if mode == "forward" else forward_backward(scan, case)
