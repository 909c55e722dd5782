"""Errors of tokens that take their gradient at the current memory: classes A and B.

With X the inputs of the one linear map, D its error signals, A- etc. the filter before each token's
own write, s the slope of the error and d its value at a prediction of zero:

    (I + diag(s) tril(A- * X X^T, -1)) D = d + s (b- X memory_0 + c- X momentum_0)

is unit lower triangular (the WY / UT transform of DeltaNet, arXiv:2406.06484, with momentum and any
gate in [0, 1]). Class A has s = 0.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule
from memory_rules.filters import Filter, Side
from playground.compile.lowering.classify import Given, classify, error_signal, slope_of

Leaves = dict[str, Tensor]


class Errors(NamedTuple):
    """What tokens ask of the memory, X [.., C, K], and their error: d + slope * prediction."""

    X: Tensor
    d: Tensor  # [.., C, V]
    slope: Tensor | None  # [.., C, 1]; None for class A


def errors(
    rule: AbstractGradientRule, slow: Leaves, k: Tensor, v: Tensor, *, affine: bool
) -> Errors:
    """The errors of tokens; affine: class B."""
    (_, out), *_ = rule.shapes(k.shape[-1]).values()
    zero = v.new_zeros(*v.shape[:-1], out)
    probe = Given(zero, slow)
    rule.read(probe, k)
    signal = error_signal(rule, slow, k, v)
    return Errors(probe.seen[0], signal(zero), slope_of(signal, zero) if affine else None)


def scores(side: Side, f: Filter, X: Tensor) -> Tensor:
    """What tokens read of each other's writes: [.., C, C]."""
    if side == "scalar":
        return f.A * (X @ X.mT)
    return (X.mT.unsqueeze(-1) * f.A * X.mT.unsqueeze(-2)).sum(-3)


def by_row(side: Side, b: Tensor, X: Tensor) -> Tensor:
    """X times what the gates leave of the first state at every token."""
    return (b.mT if side == "key" else b.unsqueeze(-1)) * X


def unit_solve(system: Tensor, right: Tensor) -> Tensor:
    """The solution of (I + what is below the diagonal of `system`) X = right."""
    return torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)


def solved(
    rule: AbstractGradientRule,
    f: Filter,
    start: Tensor | None,
    slow: Leaves,
    k: Tensor,
    v: Tensor,
    joint: Tensor,
) -> tuple[Tensor, Tensor]:
    """X and D of a chunk's tokens, for the state it begins with.

    Args:
        rule: of class A or B; where errors are those of a decayed memory, without momentum.
        f: the filter of the chunk, [.., C, C].
        start: what the memory decays towards, [.., K, V]; None for zero.
        slow: weights of the network that nobody writes.
        k: [.., C, K].
        v: [.., C, V].
        joint: memory, and momentum below it, [.., K or 2 K, V].
    """
    X, d, slope = errors(rule, slow, k, v, affine=classify(rule)[0] == "B")
    if slope is None:
        return X, d
    # a memory that has decayed and not been written is f itself, below its diagonal
    before = f if rule.surprise_at == "decayed_memory" else f.before()
    memory, *momentum = joint.chunk(2, -2) if rule.has_momentum else (joint,)
    met = by_row(rule.side, before.b, X) @ (memory if start is None else memory - start)
    if start is not None:
        met = met + X @ start
    if before.c is not None:
        met = met + by_row(rule.side, before.c, X) @ momentum[0]
    return X, unit_solve(slope * scores(rule.side, before, X), d + slope * met)
