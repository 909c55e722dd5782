"""The filter as an operator equals its definition, gradients included."""

import pytest
import torch

from memory_rules.filters import chunk_filter
from playground.compile.lowering.filter_op import filter_rows


def gates(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    lr, gamma, eta = (
        torch.rand(2, 3, size, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    gamma[0, :, ::2], gamma[1, 0], eta[0, :, 1::3], eta[1, 1] = 0.0, 1.0, 0.0, 1.0
    return lr.requires_grad_(), gamma.requires_grad_(), eta.requires_grad_()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 16, 64])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_the_operator_equals_the_definition(size: int, momentum: bool, masked: bool) -> None:
    lr, gamma, eta = gates(size)
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(2, 1, size, generator=generator) > 0.3 if masked else None
    found = []
    args = (lr, gamma, eta if momentum else None, mask)
    forms = [filter_rows(*args, compiled=compiled).filter() for compiled in (False, True)]
    for made in (chunk_filter(*args), *forms):
        parts = [t for t in made if t is not None]
        weights = torch.Generator().manual_seed(2)
        total = sum(
            (t * torch.randn(t.shape, generator=weights, dtype=t.dtype)).sum() for t in parts
        )
        inputs = (lr, gamma, eta) if momentum else (lr, gamma)
        found.append([*parts, *torch.autograd.grad(total, inputs)])
    for expected, *others in zip(*found, strict=True):
        for got in others:
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_the_operators_are_well_formed() -> None:
    lr, gamma, eta = gates(8)
    live = torch.arange(8).expand(2, 3, 8) % 3 > 0
    for compiled in (False, True):
        torch.library.opcheck(torch.ops.playground.plain_rows, (lr, gamma, compiled))
        for mask in (None, live):
            args = (lr, gamma, eta, mask, compiled)
            torch.library.opcheck(torch.ops.playground.momentum_rows, args)
