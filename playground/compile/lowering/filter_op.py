"""`memory_rules.filters.chunk_filter` as operators: row by row, with the adjoint written out.

    momentum_t = eta_t momentum_{t-1} + lr_t at token t       [C, 2 + C]
    memory_t   = gamma_t memory_{t-1} + momentum_t            [C, 2 + C]

are what token t's memory and momentum have of the chunk's first memory (column 0), of its first
momentum (column 1) and of every token's surprise. All chunks and matrices step to the next row at
once; in a compiled model on a CPU a loop in C++ makes one table after another in the cache instead
(`native/rows.py`). Held to the definition by a test; opaque to `torch.compile`, which would unroll
it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kernels.replicas import register_leading
from memory_rules.filters import Filter
from playground.compile.native import rows

MEMORY, MOMENTUM = 0, 1  # columns before those of the tokens; the second only with momentum


class Rows(NamedTuple):
    """A filter as the operators make it: few tensors, for many chunks at once.

    memory: [..., C, 1 + I], or [..., C, 2 + I] with momentum; then also m [..., C] and e [..., I].
    """

    memory: Tensor
    m: Tensor | None = None
    e: Tensor | None = None

    @property
    def first(self) -> int:
        """The column of the first token."""
        return 1 if self.m is None else 2

    def filter(self) -> Filter:
        """The same by the names of the definition, as views."""
        b, A = self.memory[..., MEMORY], self.memory[..., self.first :]
        return Filter(b, A, None if self.m is None else self.memory[..., MOMENTUM], self.m, self.e)


def filter_rows(
    lr: Tensor,
    gamma: Tensor,
    eta: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    compiled: bool = False,
    traced: bool = False,
) -> Rows:
    """As `chunk_filter`: lr, gamma, eta [..., C]; mask [..., C] bool, broadcastable.

    compiled: by the loop in C++, where the tensors are on a CPU; traced: inside `torch.func`, which
    does not take the derivatives of operators.
    """
    if mask is not None:
        lr = torch.where(mask, lr, 0.0)
        gamma = torch.where(mask, gamma, 1.0)
        eta = None if eta is None else torch.where(mask, eta, 1.0)
    if eta is None:
        plain = _Plain.apply if traced else plain_rows
        return Rows(plain(lr, gamma, compiled))
    live = None if mask is None else mask.expand_as(lr)
    made = _Momentum.apply if traced else momentum_rows
    memory, m, e, _ = made(lr, gamma, eta, live, compiled)
    return Rows(memory, m, e)


def _in_c(compiled: bool, t: Tensor) -> bool:
    return compiled and t.device.type == "cpu"


def _written(lr: Tensor, first: int) -> Tensor:
    """A table with every token's own step at its place: [..., C, first + C]."""
    size = lr.shape[-1]
    table = lr.new_zeros(*lr.shape, first + size)
    table[..., first:].diagonal(0, -2, -1).copy_(lr)
    return table


def _carry_on(table: Tensor, gate: Tensor) -> None:
    """row_t += gate_t row_{t-1}, in place, in order."""
    rows, gates = table.unbind(-2), gate.unsqueeze(-1).unbind(-2)
    for before, row, kept in zip(rows, rows[1:], gates[1:], strict=False):
        row.addcmul_(before, kept)


def _carry_back(table: Tensor, gate: Tensor, grad: Tensor, start: int) -> Tensor:
    """The adjoint of `_carry_on`, `grad` in place; the gradient to the gates.

    start: the column that is 1 before the first row. A token's columns are zero in `table` before
    its own row; what `grad` has there stays there and is multiplied by those zeros.
    """
    rows, gates = grad.unbind(-2), gate.unsqueeze(-1).unbind(-2)
    for t in range(len(rows) - 1, 0, -1):
        rows[t - 1].addcmul_(rows[t], gates[t])
    later = (grad[..., 1:, :] * table[..., :-1, :]).sum(-1)
    return torch.cat([grad[..., :1, start], later], -1)


# without momentum


@torch.library.custom_op("playground::plain_rows", mutates_args=())
def plain_rows(lr: Tensor, gamma: Tensor, compiled: bool) -> Tensor:
    """memory [..., C, 1 + C]."""
    if _in_c(compiled, lr):
        return rows.forward(lr, gamma, None, None)[0]
    memory = _written(lr, 1)
    memory[..., 0, MEMORY] = gamma[..., 0]
    _carry_on(memory, gamma)
    return memory


@plain_rows.register_fake
def _(lr: Tensor, gamma: Tensor, compiled: bool) -> Tensor:
    return lr.new_empty(*lr.shape, 1 + lr.shape[-1])


@torch.library.custom_op("playground::plain_rows_backward", mutates_args=())
def plain_rows_backward(
    gamma: Tensor, memory: Tensor, grad: Tensor, compiled: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to lr and gamma."""
    if _in_c(compiled, gamma):
        return rows.backward(gamma, None, None, memory, None, grad, None, None)[:2]
    grad = grad.clone(memory_format=torch.contiguous_format)
    g_gamma = _carry_back(memory, gamma, grad, MEMORY)
    return grad[..., 1:].diagonal(0, -2, -1).contiguous(), g_gamma


@plain_rows_backward.register_fake
def _(gamma: Tensor, memory: Tensor, grad: Tensor, compiled: bool) -> tuple[Tensor, Tensor]:
    return gamma.new_empty(gamma.shape), gamma.new_empty(gamma.shape)


# with momentum


@torch.library.custom_op("playground::momentum_rows", mutates_args=())
def momentum_rows(
    lr: Tensor, gamma: Tensor, eta: Tensor, live: Tensor | None, compiled: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """memory [..., C, 2 + C], m, e [..., C], and momentum [..., C, 2 + C] for backward.

    live: bool, False where momentum does not reach the memory; None for everywhere.
    """
    if _in_c(compiled, lr):
        memory, momentum, m, e = rows.forward(lr, gamma, eta, live)
        return memory, m, e, momentum
    momentum = _written(lr, 2)
    momentum[..., 0, MOMENTUM] = eta[..., 0]
    _carry_on(momentum, eta)
    memory = momentum.clone() if live is None else momentum * live.unsqueeze(-1)
    memory[..., 0, MEMORY] = gamma[..., 0]
    _carry_on(memory, gamma)
    return memory, momentum[..., MOMENTUM].clone(), momentum[..., -1, 2:].clone(), momentum


@momentum_rows.register_fake
def _(
    lr: Tensor, gamma: Tensor, eta: Tensor, live: Tensor | None, compiled: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    table = (*lr.shape, 2 + lr.shape[-1])
    vector, rows = lr.new_empty(lr.shape), lr.new_empty(table)
    return rows, vector, torch.empty_like(vector), torch.empty_like(rows)


@torch.library.custom_op("playground::momentum_rows_backward", mutates_args=())
def momentum_rows_backward(
    gamma: Tensor,
    eta: Tensor,
    live: Tensor | None,
    memory: Tensor,
    momentum: Tensor,
    g_memory: Tensor,
    g_m: Tensor,
    g_e: Tensor,
    compiled: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to lr, gamma and eta, from those to memory, m and e."""
    if _in_c(compiled, gamma):
        return rows.backward(gamma, eta, live, memory, momentum, g_memory, g_m, g_e)
    grad = g_memory.clone(memory_format=torch.contiguous_format)
    g_gamma = _carry_back(memory, gamma, grad, MEMORY)
    if live is not None:
        grad *= live.unsqueeze(-1)
    grad[..., MOMENTUM] += g_m
    grad[..., -1, 2:] += g_e
    g_eta = _carry_back(momentum, eta, grad, MOMENTUM)
    return grad[..., 2:].diagonal(0, -2, -1).contiguous(), g_gamma, g_eta


@momentum_rows_backward.register_fake
def _(gamma: Tensor, *rest: Tensor | bool | None) -> tuple[Tensor, Tensor, Tensor]:
    found = [gamma.new_empty(gamma.shape) for _ in range(3)]
    return found[0], found[1], found[2]


def _save_plain(ctx, inputs, output) -> None:
    _, gamma, ctx.compiled = inputs
    ctx.save_for_backward(gamma, output)


def _plain_backward(ctx, *grads: Tensor):
    gamma, memory = ctx.saved_tensors
    return *plain_rows_backward(gamma, memory, grads[0], ctx.compiled), None


def _save_momentum(ctx, inputs, output) -> None:
    _, gamma, eta, live, ctx.compiled = inputs
    ctx.save_for_backward(gamma, eta, live, output[0], output[3])


def _momentum_backward(ctx, *grads: Tensor):
    g_memory, g_m, g_e, _ = grads
    gamma, eta, live, memory, momentum = ctx.saved_tensors
    found = momentum_rows_backward(
        gamma, eta, live, memory, momentum, g_memory, g_m, g_e, ctx.compiled
    )
    return *found, None, None


class _Plain(torch.autograd.Function):
    """`plain_rows` for `torch.func`."""

    @staticmethod
    def forward(lr: Tensor, gamma: Tensor, compiled: bool) -> Tensor:
        return plain_rows(lr, gamma, compiled)

    setup_context = staticmethod(_save_plain)
    backward = staticmethod(_plain_backward)


class _Momentum(torch.autograd.Function):
    """`momentum_rows` for `torch.func`."""

    @staticmethod
    def forward(
        lr: Tensor, gamma: Tensor, eta: Tensor, live: Tensor | None, compiled: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return momentum_rows(lr, gamma, eta, live, compiled)

    setup_context = staticmethod(_save_momentum)
    backward = staticmethod(_momentum_backward)


plain_rows.register_autograd(_plain_backward, setup_context=_save_plain)
momentum_rows.register_autograd(_momentum_backward, setup_context=_save_momentum)

register_leading("playground::plain_rows", plain_rows)
register_leading("playground::momentum_rows", momentum_rows)
