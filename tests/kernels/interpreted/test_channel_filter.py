"""`channel_filter` against its own recurrence written token by token, with all gradients."""

from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.channel_filter import Gates, Weighted, _channels, channel_filter

EXTREMES = torch.tensor([0.0, exp(-8.0), 0.1, 0.5, 0.9, 0.99, 1.0], dtype=torch.float64)


def given(
    lead: tuple[int, ...],
    C: int,
    K: int,
    *,
    momentum: bool,
    masked: bool,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Gates]:
    generator = torch.Generator().manual_seed(C + K)

    def gates(*size: int) -> Tensor:
        at = torch.randint(len(EXTREMES), size, generator=generator)
        inner = torch.rand(size, generator=generator, dtype=torch.float64)
        both = torch.where(torch.rand(size, generator=generator) > 0.5, inner, EXTREMES[at])
        return both.to(dtype).requires_grad_()

    def draw() -> Tensor:
        x = torch.randn(*lead, C, K, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    mask = torch.rand(*lead, C, generator=generator) > 0.3 if masked else None
    eta = gates(*lead, C) if momentum else None
    return draw(), draw(), Gates(gates(*lead, C), gates(*lead, C, K), eta, mask)


def by_recurrence(q: Tensor, x: Tensor, gates: Gates, *, before: bool) -> Weighted:
    """Columns: the first memory, the first momentum, the tokens; a channel of the state each."""
    lr, keep, eta, mask = gates
    *lead, C, K = q.shape
    memory = torch.zeros(*lead, K, 2 + C, dtype=q.dtype)
    momentum = memory.clone()
    memory[..., 0], momentum[..., 1] = 1.0, 1.0
    scores, reads = [], []
    for t in range(C):
        own = torch.zeros(2 + C, dtype=q.dtype)
        own[2 + t] = 1.0
        write = (lr[..., t, None] * x[..., t, :])[..., None] * own
        moved = write if eta is None else eta[..., t, None, None] * momentum + write
        after = keep[..., t, :, None] * memory + moved
        live = torch.tensor(True) if mask is None else mask[..., t, None, None]
        seen = memory
        memory, momentum = torch.where(live, after, memory), torch.where(live, moved, momentum)
        read = q[..., t, :, None] * (seen if before else memory)
        scores.append(read[..., 2:].sum(-2))
        reads.append(torch.cat([read[..., 0]] + ([] if eta is None else [read[..., 1]]), -1))
    writes, ends = [memory[..., 2:].mT], [memory[..., 0]]
    if eta is not None:
        writes.append(momentum[..., 2:].mT)
        ends += [memory[..., 1], momentum[..., 1]]
    return Weighted(
        torch.stack(scores, -2),
        torch.stack(reads, -2),
        torch.cat(writes, -1),
        torch.stack(ends, -2),
    )


def results(run: Any, of: tuple[Tensor, Tensor, Gates], before: bool) -> list[Tensor]:
    q, x, gates = of
    found = run(q, x, gates, before=before)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in found]
    loss = torch.stack([(t * w.to(t.dtype)).sum() for t, w in zip(found, weights, strict=True)])
    leaves = [t for t in (q, x, *gates[:3]) if t is not None]
    return [*found, *torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)]


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize(
    ("lead", "C", "K", "masked"),
    [((1,), 1, 1, False), ((2, 1), 5, 3, True), ((1,), 7, 17, False)],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-6)], ids=["fp64", "fp32"]
)
def test_outputs_and_all_gradients(
    lead: tuple[int, ...],
    C: int,
    K: int,
    masked: bool,
    momentum: bool,
    before: bool,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    q, x, gates = given(lead, C, K, momentum=momentum, masked=masked, dtype=dtype)

    def exactly(t: Tensor | None) -> Any:
        exact = t is not None and t.dtype != torch.bool
        return t.detach().double().requires_grad_() if exact else t

    exact = (exactly(q), exactly(x), Gates(*(exactly(t) for t in gates)))
    wanted = results(by_recurrence, exact, before)
    found = results(channel_filter, (q, x, gates), before)
    assert len(found) == len(wanted) == (9 if momentum else 8)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype
        assert torch.isfinite(one).all()
        scale = max(1.0, other.abs().max().item())
        assert (one.double() - other).abs().max().item() <= tolerance * scale


def test_the_operator_is_one_for_torch() -> None:
    q, x, (lr, keep, eta, _) = given((2,), 3, 2, momentum=True, masked=False)
    torch.library.opcheck(_channels, (q, x, lr, keep, eta, torch.ones_like(lr), True))
    torch.library.opcheck(_channels, (q, x, lr, keep, None, None, False))


def test_replicas_are_more_chunks() -> None:
    each = [given((1,), 3, 2, momentum=True, masked=False) for _ in range(2)]
    q, x = (torch.stack([one[i] for one in each]) for i in (0, 1))
    lr, keep, eta = (torch.stack([one[2][i] for one in each]) for i in range(3))  # pyright: ignore

    def run(q: Tensor, x: Tensor, lr: Tensor, keep: Tensor, eta: Tensor) -> Weighted:
        return channel_filter(q, x, Gates(lr, keep, eta))

    found = torch.func.vmap(run)(q, x, lr, keep, eta)
    for i, one in enumerate(each):
        for stacked, single in zip(found, channel_filter(*one), strict=True):
            assert torch.equal(stacked[i], single)
