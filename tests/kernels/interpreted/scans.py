"""What tests of scans over chunks share: results and gradients of a scan and of its equations."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
Fields = Sequence[Tensor | None]  # of the chunks


def gradients(run: Run, chunks: Fields, start: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Both results, and the gradients of their weighted sum in all that is given."""
    y, last = run(chunks, start)
    loss = (y * weights[0]).sum() + (last * weights[1]).sum()
    return [y, last, *of(loss, chunks, start)]


def of(loss: Tensor, chunks: Fields, start: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a loss in all that is given."""
    inputs = [t for t in (*chunks, start) if t is not None]
    return torch.autograd.grad(loss, inputs, materialize_grads=True)


def check_alone(run: Run, wanted: Run, chunks: Fields, start: Tensor, result: int) -> None:
    """The gradients of one of the two results, the other unused, are those of the equations."""
    both = (of(scan(chunks, start)[result].sum(), chunks, start) for scan in (run, wanted))
    for found, right in zip(*both, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
