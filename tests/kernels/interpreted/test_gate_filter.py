"""`gate_filter` against its own recurrence written token by token, with all gradients."""

from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.gate_filter import Tables, _filter, gate_filter
from memory_rules.filters import chunk_filter

EXTREMES = torch.tensor([0.0, exp(-8.0), 0.1, 0.5, 0.9, 0.99, 1.0], dtype=torch.float64)
SHAPES = [(1, 1), (3, 2, 5), (70, 16), (2, 17)]


def given(
    shape: tuple[int, ...], *, momentum: bool, masked: bool, dtype: torch.dtype = torch.float64
) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(sum(shape))

    def gates() -> Tensor:
        at = torch.randint(len(EXTREMES), shape, generator=generator)
        inner = torch.rand(shape, generator=generator, dtype=torch.float64)
        both = torch.where(torch.rand(shape, generator=generator) > 0.5, inner, EXTREMES[at])
        return both.to(dtype).requires_grad_()

    live = torch.rand(shape, generator=generator) > 0.3
    return [gates(), gates(), gates() if momentum else None, live if masked else None]


def by_recurrence(
    lr: Tensor, gamma: Tensor, eta: Tensor | None = None, mask: Tensor | None = None
) -> Tables:
    size = lr.shape[-1]
    own = torch.eye(size, dtype=lr.dtype)
    memory = momentum = torch.zeros(*lr.shape[:-1], 2 + size, dtype=lr.dtype)
    memory, momentum = memory.clone(), momentum.clone()
    memory[..., 0], momentum[..., 1] = 1.0, 1.0
    rows, moments = [], []
    for t in range(size):
        step, keep = lr[..., t, None], gamma[..., t, None]
        write = step * torch.cat([torch.zeros(2, dtype=lr.dtype), own[t]])
        moved = write if eta is None else eta[..., t, None] * momentum + write
        after = keep * memory + moved
        live = torch.tensor(True) if mask is None else mask[..., t, None]
        memory, momentum = torch.where(live, after, memory), torch.where(live, moved, momentum)
        rows.append(memory)
        moments.append(momentum)
    table, last = torch.stack(rows, -2), moments[-1]
    if eta is None:
        return Tables(table[..., 0], table[..., 2:])
    m = torch.stack([moment[..., 1] for moment in moments], -1)
    return Tables(table[..., 0], table[..., 2:], table[..., 1], m, last[..., 2:])


def results(run: Any, tensors: list[Tensor | None], weights: list[Tensor]) -> list[Tensor]:
    found = [t for t in run(*tensors) if t is not None]
    loss = sum((t * w).sum() for t, w in zip(found, weights, strict=True))
    gates = [t for t in tensors[:3] if t is not None]
    assert isinstance(loss, Tensor)
    return [*found, *torch.autograd.grad(loss, gates, materialize_grads=True)]


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)], ids=["fp64", "fp32"]
)
def test_tables_and_all_gradients(
    shape: tuple[int, ...], momentum: bool, masked: bool, dtype: torch.dtype, tolerance: float
) -> None:
    tensors = given(shape, momentum=momentum, masked=masked, dtype=dtype)
    exact = [
        t if t is None or t.dtype == torch.bool else t.detach().double().requires_grad_()
        for t in tensors
    ]
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(t.shape, generator=generator, dtype=torch.float64)
        for t in by_recurrence(*exact)  # pyright: ignore
        if t is not None
    ]
    wanted = results(by_recurrence, exact, weights)
    found = results(gate_filter, tensors, [w.to(dtype) for w in weights])
    assert len(found) == len(wanted) == (8 if momentum else 4)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype
        assert torch.isfinite(one).all()
        scale = max(1.0, other.abs().max().item())
        assert (one.double() - other).abs().max().item() <= tolerance * scale


def test_names_and_order_are_those_of_the_definition() -> None:
    tensors = given((2, 9), momentum=True, masked=True)
    for one, other in zip(gate_filter(*tensors), chunk_filter(*tensors), strict=True):  # pyright: ignore
        assert torch.allclose(one, other, rtol=0, atol=1e-14)


def test_the_operator_is_one_for_torch() -> None:
    lr, gamma, eta, _ = given((2, 5), momentum=True, masked=True)
    assert lr is not None
    torch.library.opcheck(_filter, (lr, gamma, eta, torch.ones_like(lr)))
    torch.library.opcheck(_filter, (lr, gamma, None, None))


def test_replicas_are_more_filters() -> None:
    each = [given((2, 5), momentum=True, masked=False)[:3] for _ in range(3)]
    stacked = [
        torch.stack([t for t in column if t is not None]) for column in zip(*each, strict=True)
    ]
    for found, single in zip(
        torch.func.vmap(gate_filter)(*stacked),
        zip(*(gate_filter(*e) for e in each), strict=True),  # pyright: ignore
        strict=True,
    ):
        assert torch.equal(found, torch.stack(single))


def test_replicas_may_share_what_they_are_given() -> None:
    """What is not stacked has no memory of its own for every replica."""
    lr, gamma, eta, mask = given((2, 5), momentum=True, masked=True)
    assert lr is not None and mask is not None
    stacked = torch.stack([lr, 0.5 * lr, 0.25 * lr])
    for shared in ((0, None, None, None), (0, None, None, 0)):
        masks = mask if shared[3] is None else mask.expand(3, *mask.shape)
        found = torch.func.vmap(gate_filter, in_dims=shared)(stacked, gamma, eta, masks)
        for i in range(3):
            for every, one in zip(found, gate_filter(stacked[i], gamma, eta, mask), strict=True):
                assert torch.equal(every[i], one)
