"""The linear filter of a chunk against explicit products, one token after the other."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from memory_rules.filters import Filter, chunk_filter

EXTREMES = torch.tensor([0.0, math.exp(-8.0), 0.1, 0.5, 0.9, 0.99, 1.0], dtype=torch.float64)


def explicit(lr: Tensor, gamma: Tensor, eta: Tensor | None, mask: Tensor | None) -> Filter:
    """The coefficients by running the recurrence on unit vectors; one sequence, [C] each."""
    C = lr.shape[0]
    b, c, m = (torch.zeros(C, dtype=lr.dtype) for _ in range(3))
    A, E = torch.zeros(C, C, dtype=lr.dtype), torch.zeros(C, C, dtype=lr.dtype)
    # a memory is a row of coefficients of [memory_0, momentum_0, surprise_0, surprise_1, ...]
    memory, momentum = torch.zeros(2 + C, dtype=lr.dtype), torch.zeros(2 + C, dtype=lr.dtype)
    memory[0], momentum[1] = 1.0, 1.0
    for t in range(C):
        if mask is None or mask[t]:
            write = torch.zeros(2 + C, dtype=lr.dtype)
            write[2 + t] = -lr[t]
            momentum = write if eta is None else eta[t] * momentum + write
            memory = gamma[t] * memory + momentum
        b[t], c[t], m[t] = memory[0], memory[1], momentum[1]
        A[t], E[t] = -memory[2:], -momentum[2:]
    if eta is None:
        return Filter(b, A)
    return Filter(b, A, c, m, E[-1])


def gates(C: int, *, extreme: bool, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    if extreme:
        pick = torch.randint(len(EXTREMES), (3, C), generator=g)
        lr, gamma, eta = EXTREMES[pick]
    else:
        lr, gamma, eta = torch.rand(3, C, generator=g, dtype=torch.float64)
    return lr, gamma, eta


def same(found: Filter, expected: Filter) -> None:
    for name, want in expected._asdict().items():
        got = getattr(found, name)
        assert (got is None) == (want is None), name
        if want is not None:
            torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13, msg=name)


@pytest.mark.parametrize("C", [1, 2, 3, 4, 5, 7, 8, 13, 16, 33])
@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("extreme", [False, True])
def test_the_filter_equals_explicit_products_at_any_length(
    C: int, momentum: bool, extreme: bool
) -> None:
    for seed in range(4):
        lr, gamma, eta = gates(C, extreme=extreme, seed=seed)
        eta = eta if momentum else None
        same(chunk_filter(lr, gamma, eta), explicit(lr, gamma, eta, None))


@pytest.mark.parametrize("momentum", [False, True])
def test_a_masked_token_changes_nothing(momentum: bool) -> None:
    C = 11
    for seed in range(6):
        lr, gamma, eta = gates(C, extreme=seed % 2 == 0, seed=seed)
        eta = eta if momentum else None
        mask = torch.rand(C, generator=torch.Generator().manual_seed(seed)) > 0.4
        found = chunk_filter(lr, gamma, eta, mask)
        same(found, explicit(lr, gamma, eta, mask))
        assert (found.A[:, ~mask] == 0.0).all()


def test_a_chunk_of_padding_is_the_identity() -> None:
    lr, gamma, eta = gates(6, extreme=False)
    f = chunk_filter(lr, gamma, eta, torch.zeros(6, dtype=torch.bool))
    assert f.c is not None and f.m is not None and f.e is not None
    assert (f.b == 1.0).all() and (f.m == 1.0).all()
    assert (f.A == 0.0).all() and (f.c == 0.0).all() and (f.e == 0.0).all()


def test_leading_axes_are_independent() -> None:
    g = torch.Generator().manual_seed(1)
    lr, gamma, eta = torch.rand(3, 2, 3, 5, generator=g, dtype=torch.float64)
    batched = chunk_filter(lr, gamma, eta)
    for i in range(2):
        for j in range(3):
            row = Filter(*(x[i, j] for x in batched if x is not None))
            same(row, explicit(lr[i, j], gamma[i, j], eta[i, j], None))


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_gradients_at_gates_of_exactly_0_and_1_are_those_of_the_recurrence(gate: float) -> None:
    C = 7
    lr, gamma, eta = (x.clone() for x in gates(C, extreme=False))
    gamma[2:5], eta[1:4], lr[3] = gate, gate, gate
    g = torch.Generator().manual_seed(5)
    weights = [torch.randn(C, C, generator=g, dtype=torch.float64) for _ in range(5)]

    def slopes(build: Callable[..., Filter]) -> tuple[Tensor, ...]:
        leaves = [x.clone().requires_grad_() for x in (lr, gamma, eta)]
        total = sum(
            (w[: x.shape[0]] * x).sum() if x.ndim == 2 else (w[0] * x).sum()
            for w, x in zip(weights, build(*leaves), strict=True)
        )
        return torch.autograd.grad(total, leaves)

    def slow(lr: Tensor, gamma: Tensor, eta: Tensor) -> Filter:
        """Products one by one: the 1-semiseparable factors, without division."""
        keep = [[gamma[s + 1 : t + 1].prod() for s in range(t + 1)] for t in range(C)]
        carry = [[eta[s + 1 : t + 1].prod() for s in range(t + 1)] for t in range(C)]

        def square(rows: list[list[Tensor]]) -> Tensor:
            zero = lr.new_zeros(())
            return torch.stack([torch.stack(r + [zero] * (C - len(r))) for r in rows])

        L, E = square(keep), square(carry)
        m = torch.cumprod(eta, 0)
        return Filter(torch.cumprod(gamma, 0), (L @ E) * lr, L @ m, m, E[-1] * lr)

    for found, expected in zip(slopes(chunk_filter), slopes(slow), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_nothing_underflows_or_overflows_in_fp32_over_a_long_chunk() -> None:
    C = 512
    lr, gamma = torch.full((C,), 0.5), torch.full((C,), 0.4)
    lr, gamma, eta = (x.requires_grad_() for x in (lr, gamma, torch.full((C,), 0.3)))
    f = chunk_filter(lr, gamma, eta)
    assert torch.isfinite(f.A).all()
    (f.A.sum() + f.b.sum()).backward()
    assert all(torch.isfinite(x.grad).all() for x in (lr, gamma, eta) if x.grad is not None)


def test_before_is_the_memory_a_token_meets() -> None:
    lr, gamma, eta = gates(6, extreme=False)
    f = chunk_filter(lr, gamma, eta)
    before = f.before()
    assert before.b[0] == 1.0 and (before.A[0] == 0.0).all()
    assert before.c is not None and f.c is not None and before.c[0] == 0.0
    assert torch.equal(before.b[1:], f.b[:-1])
    assert torch.equal(before.A[1:], f.A[:-1])
    assert torch.equal(before.c[1:], f.c[:-1])
