"""A gate for every key channel: queries against the tokens and the state of their own chunk.

    momentum_t = eta_t momentum_{t-1} + lr_t x_t^T w_t          w_t: what token t writes
    memory_t   = diag(keep_t) memory_{t-1} + momentum_t

so that with state_0 = [memory_0; momentum_0]

    q_t memory_t = reads_t state_0 + sum_{i <= t} scores[t, i] w_i
    state_C      = ends state_0 + writes^T w

(gated linear attention, arXiv:2312.06635, with momentum). Nothing is divided, no logarithm taken:
every gate from 0 to 1 is exact, its gradient too.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import channel_filter_kernels as programs
from kernels.launch import check_types, kind_of, launch, tile
from kernels.replicas import to_front


class Weighted(NamedTuple):
    """scores [..., C, C]; reads, writes [..., C, R]; ends [..., 3, K], or [..., 1, K], R = K.

    With momentum R = 2 K: for the memory, then for the momentum below it. ends: what is kept of
    the memory, what the memory gets of the momentum, what is kept of the momentum.
    """

    scores: Tensor
    reads: Tensor
    writes: Tensor
    ends: Tensor


class Gates(NamedTuple):
    """lr [..., C]; keep [..., C, K] and eta [..., C] or None, in [0, 1]; mask [..., C] or None.

    A token whose mask is False changes nothing.
    """

    lr: Tensor
    keep: Tensor
    eta: Tensor | None = None
    mask: Tensor | None = None


def channel_filter(q: Tensor, x: Tensor, gates: Gates, *, before: bool = False) -> Weighted:
    """Queries and tokens with all that the gates do to them.

    Args:
        q: [..., C, K], a query per token; also x itself.
        x: [..., C, K], by which tokens write.
        gates: see `Gates`; masks may be broadcast.
        before: whether token t's query comes before its write, or after.

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
    """
    lr, keep, eta, mask = gates
    live = None
    if mask is not None:
        lr, keep = torch.where(mask, lr, 0.0), torch.where(mask.unsqueeze(-1), keep, 1.0)
        if eta is not None:  # or there is nothing that could reach the memory
            eta = torch.where(mask, eta, 1.0)
            live = mask.expand_as(lr).to(lr.dtype)
    given = (None if t is None else t.contiguous() for t in (q, x, lr, keep, eta, live))
    return Weighted(*_channels(*given, before))


def _sizes(q: Tensor, eta: Tensor | None, live: Tensor | None, before: bool) -> dict[str, Any]:
    """What programs are told beside tensors."""
    C, K = q.shape[-2:]
    kind = kind_of(torch.promote_types(q.dtype, torch.float32))
    told = {"MOMENTUM": eta is not None, "MASKED": live is not None, "BEFORE": before, "ACC": kind}
    P = q.shape[:-2].numel()
    return told | {"P": P, "C": C, "K": K, "BLOCK_C": tile(C), "BLOCK_K": tile(K)}


def _room(q: Tensor, momentum: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *lead, C, K = q.shape
    reads = q.new_empty(*lead, C, (1 + momentum) * K)
    ends = q.new_empty(*lead, 3 if momentum else 1, K)
    return q.new_empty(*lead, C, C), reads, torch.empty_like(reads), ends


@torch.library.custom_op("playground::channel_filter", mutates_args=())
def _channels(
    q: Tensor,
    x: Tensor,
    lr: Tensor,
    keep: Tensor,
    eta: Tensor | None,
    live: Tensor | None,
    before: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scores, reads, writes, ends."""
    check_types(q.dtype, q, x, lr, keep, eta, live)
    found = _room(q, eta is not None)
    sizes = _sizes(q, eta, live, before)
    launch(programs.channels_fwd, sizes["P"], q, x, lr, keep, eta, live, *found, **sizes)
    return found


@_channels.register_fake
def _(q, x, lr, keep, eta, live, before):
    return _room(q, eta is not None)


@torch.library.custom_op("playground::channel_filter_backward", mutates_args=())
def _channels_backward(
    g_scores: Tensor,
    g_reads: Tensor,
    g_writes: Tensor,
    g_ends: Tensor,
    q: Tensor,
    x: Tensor,
    lr: Tensor,
    keep: Tensor,
    eta: Tensor | None,
    live: Tensor | None,
    before: bool,
) -> list[Tensor]:
    """Gradients to q, x, lr, keep, eta; the last is empty without momentum."""
    found = [torch.empty_like(t) for t in (q, x, lr, keep)]
    found.append(lr.new_empty(0) if eta is None else torch.empty_like(eta))
    sizes = _sizes(q, eta, live, before)
    grads = (g_scores, g_reads, g_writes, g_ends)
    launch(programs.channels_bwd, sizes["P"], q, x, lr, keep, eta, live, *grads, *found, **sizes)
    return found


@_channels_backward.register_fake
def _(g_scores, g_reads, g_writes, g_ends, q, x, lr, keep, eta, live, before):
    found = [torch.empty_like(t) for t in (q, x, lr, keep)]
    return [*found, lr.new_empty(0) if eta is None else torch.empty_like(eta)]


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.before = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, *grads: Tensor):
    saved = ctx.saved_tensors
    *found, g_eta = _channels_backward(*(g.contiguous() for g in grads), *saved, ctx.before)
    return *found, None if saved[4] is None else g_eta, None, None


_channels.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *given):
    """One more leading axis."""
    *tensors, before = given
    merged = (
        None if t is None else to_front(t, axis, info.batch_size).contiguous()
        for t, axis in zip(tensors, axes, strict=False)
    )
    return _channels(*merged, before), (0, 0, 0, 0)


torch.library.register_vmap("playground::channel_filter", _replicas)
