"""From gates to what they do to a chunk, for all chunks at once: one operator.

    momentum_t = eta_t momentum_{t-1} + lr_t w_t        w_t: what token t writes
    memory_t   = gamma_t memory_{t-1} + momentum_t

so that with the tables A = L_gamma L_eta diag(lr) and E = L_eta diag(lr)

    memory_t   = b_t memory_0 + c_t momentum_0 + sum_{i <= t} A[t, i] w_i
    momentum_t = m_t momentum_0                + sum_{i <= t} E[t, i] w_i

(Titans, arXiv:2501.00663, eqs. 16-18). Rows follow one another as the recurrence has them, so every
gate from 0 to 1 is exact, its gradient too.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import gate_filter_kernels as programs
from kernels.launch import check_types, kind_of, launch, tile
from kernels.replicas import register_leading


class Tables(NamedTuple):
    """b [..., C]; A [..., C, C]; with momentum c, m [..., C] and e [..., C], the last row of E."""

    b: Tensor
    A: Tensor
    c: Tensor | None = None
    m: Tensor | None = None
    e: Tensor | None = None


def gate_filter(
    lr: Tensor, gamma: Tensor, eta: Tensor | None = None, mask: Tensor | None = None
) -> Tables:
    """The tables of every chunk.

    Args:
        lr: [..., C] step of each write; any number.
        gamma: [..., C] fraction of the memory kept, in [0, 1].
        eta: [..., C] fraction of the momentum kept, in [0, 1]; None for no momentum.
        mask: [..., C] bool, broadcastable; a token that is False changes nothing.

    Raises:
        TypeError: types that differ.
    """
    live = None
    if mask is not None:
        lr, gamma = torch.where(mask, lr, 0.0), torch.where(mask, gamma, 1.0)
        if eta is not None:  # or there is nothing that could reach the memory
            eta = torch.where(mask, eta, 1.0)
            live = mask.expand_as(lr).to(lr.dtype).contiguous()
    b, A, c, m, e = _filter(
        lr.contiguous(), gamma.contiguous(), None if eta is None else eta.contiguous(), live
    )
    return Tables(b, A) if eta is None else Tables(b, A, c, m, e)


def _sizes(lr: Tensor, eta: Tensor | None, live: Tensor | None) -> dict[str, Any]:
    """What programs are told beside tensors."""
    C = lr.shape[-1]
    sizes = {"P": lr.numel() // C, "C": C, "BLOCK_C": tile(C)}
    kind = kind_of(torch.promote_types(lr.dtype, torch.float32))
    return sizes | {"MOMENTUM": eta is not None, "MASKED": live is not None, "ACC": kind}


def _room(lr: Tensor, momentum: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Room for b, A, c, m, e; the last three empty without momentum."""
    size = lr.shape[-1]
    rest = lr.shape if momentum else (*lr.shape[:-1], 0)
    c, m, e = (lr.new_empty(rest) for _ in range(3))
    return torch.empty_like(lr), lr.new_empty(*lr.shape, size), c, m, e


@torch.library.custom_op("playground::gate_filter", mutates_args=())
def _filter(
    lr: Tensor, gamma: Tensor, eta: Tensor | None, live: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """b, A, c, m, e."""
    check_types(lr.dtype, lr, gamma, eta, live)
    found, sizes = _room(lr, eta is not None), _sizes(lr, eta, live)
    launch(programs.filter_fwd, sizes["P"], lr, gamma, eta, live, *found, **sizes)
    return found


@_filter.register_fake
def _(lr, gamma, eta, live):
    return _room(lr, eta is not None)


@torch.library.custom_op("playground::gate_filter_backward", mutates_args=())
def _filter_backward(
    g_b: Tensor,
    g_A: Tensor,
    g_c: Tensor,
    g_m: Tensor,
    g_e: Tensor,
    lr: Tensor,
    gamma: Tensor,
    eta: Tensor | None,
    live: Tensor | None,
    b: Tensor,
    A: Tensor,
    c: Tensor,
    m: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to lr, gamma and eta; the last is empty without momentum."""
    found, sizes = (torch.empty_like(lr), torch.empty_like(lr), torch.empty_like(c)), {}
    table = torch.empty_like(A) if eta is not None else A.new_empty(0)
    sizes = _sizes(lr, eta, live)
    launch(
        programs.filter_bwd, sizes["P"],
        lr, gamma, eta, live, b, A, c, m, g_b, g_A, g_c, g_m, g_e, table, *found, **sizes,
    )  # fmt: skip
    return found


@_filter_backward.register_fake
def _(g_b, g_A, g_c, g_m, g_e, lr, gamma, eta, live, b, A, c, m):
    return torch.empty_like(lr), torch.empty_like(lr), torch.empty_like(c)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs, *output[:4])


def _backward(ctx, *grads: Tensor):
    saved = ctx.saved_tensors
    g_lr, g_gamma, g_eta = _filter_backward(*(g.contiguous() for g in grads), *saved)
    return g_lr, g_gamma, None if saved[2] is None else g_eta, None


_filter.register_autograd(_backward, setup_context=_setup)
register_leading("playground::gate_filter", _filter)
