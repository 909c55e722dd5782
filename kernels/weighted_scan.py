"""Linear memories chunk by chunk, once the gates have been at queries and tokens: one operator.

A state is a memory [K, V] and, with momentum, a momentum [K, V] below it (R = 2 K rows, else
R = K). In every chunk

    D     = d + w state                          error signals, [C, V]; w only for class B
    y     = q state - A D
    state <- ends state - x^T D                  row by row: ends[0] of the memory, ends[1] of the
                                                 momentum into it, ends[2] of the momentum

This is `chunk_scan` for gates of every channel (gated linear attention, arXiv:2312.06635), with
what `channel_filter` makes of them.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import weighted_scan_kernels as programs
from kernels.launch import check_types, kind_of, launch, tile
from kernels.replicas import into
from kernels.tokens import given_grads


class Weighed(NamedTuple):
    """N chunks of G independent sequences, of one dtype.

    q, x: [N, G, C, R]; d: [N, G, C, V]; w: [N, G, C, R] or None; A: [N, G, C, C];
    ends: [N, G, 3, K], without momentum [N, G, 1, K].
    """

    q: Tensor
    x: Tensor
    d: Tensor
    w: Tensor | None
    A: Tensor
    ends: Tensor


def weighted_scan(
    chunks: Weighed, start: Tensor, factors: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Run the chunks from a state.

    Args:
        chunks: see `Weighed`.
        start: [G, R, V].
        factors: the type of the factors of all products; None for that of the tensors.

    Returns:
        y [N, G, C, V] and the state after the last chunk, [G, R, V].

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
    """
    given = (None if t is None else t.contiguous() for t in chunks)
    y, last, _, _ = _scan(*given, start.contiguous(), factors or start.dtype)
    return y, last


def _sizes(d: Tensor, ends: Tensor, factors: torch.dtype, *, solved: bool) -> dict[str, Any]:
    """What programs are told beside tensors."""
    (N, G, C, V), (J, K) = d.shape, ends.shape[2:]
    sizes = {"N": N, "G": G, "C": C, "K": K, "V": V, "MOMENTUM": J > 1, "SOLVED": solved}
    types = {"T": kind_of(factors), "ACC": kind_of(torch.promote_types(d.dtype, torch.float32))}
    return sizes | types | {"BLOCK_C": tile(C), "BLOCK_K": tile(K)}


@torch.library.custom_op("playground::weighted_scan", mutates_args=())
def _scan(
    q: Tensor,
    x: Tensor,
    d: Tensor,
    w: Tensor | None,
    A: Tensor,
    ends: Tensor,
    start: Tensor,
    factors: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, the last state, the states before every chunk, and D where it was not given."""
    check_types(factors, q, x, d, w, A, ends, start)
    N, G = d.shape[:2]
    states, after = start.new_empty(N, *start.shape), torch.empty_like(start)
    signal = torch.empty_like(d) if w is not None else d.new_empty(0)
    sizes = _sizes(d, ends, factors, solved=w is not None)
    launch(
        programs.weighted_states_fwd, G, x, d, w, ends, start, states, after, signal,
        values=True, **sizes,
    )  # fmt: skip
    y, used = torch.empty_like(d), d if w is None else signal
    launch(programs.weighted_reads_fwd, N * G, q, A, used, states, y, values=True, **sizes)
    return y, after, states, signal


@_scan.register_fake
def _(q, x, d, w, A, ends, start, factors):
    states = start.new_empty(q.shape[0], *start.shape)
    signal = torch.empty_like(d) if w is not None else d.new_empty(0)
    return torch.empty_like(d), torch.empty_like(start), states, signal


@torch.library.custom_op("playground::weighted_scan_backward", mutates_args=())
def _scan_backward(
    g_y: Tensor,
    g_last: Tensor,
    q: Tensor,
    x: Tensor,
    signal: Tensor,
    w: Tensor | None,
    A: Tensor,
    ends: Tensor,
    states: Tensor,
    factors: torch.dtype,
) -> list[Tensor]:
    """Gradients to q, x, d, w, A, ends, start; that to w empty where there is none."""
    (N, G), sizes = q.shape[:2], _sizes(signal, ends, factors, solved=w is not None)
    g_states, g_signal = torch.empty_like(states), torch.empty_like(signal)
    g_start, (g_q, g_x, g_w, g_A, g_ends) = (
        torch.empty_like(states[0]),
        (g_y.new_empty(0) if t is None else torch.empty_like(t) for t in (q, x, w, A, ends)),
    )
    launch(
        programs.weighted_states_bwd, G,
        q, x, w, A, ends, g_y, g_last, g_signal, g_states, g_start, values=True, **sizes,
    )  # fmt: skip
    launch(
        programs.weighted_tokens_bwd, N * G,
        signal, states, g_y, g_states, g_signal, g_q, g_x, g_w, g_A, g_ends, **sizes,
    )  # fmt: skip
    return [g_q, g_x, g_signal, g_w, g_A, g_ends, g_start]


@_scan_backward.register_fake
def _(g_y, g_last, q, x, signal, w, A, ends, states, factors):
    given = (q, x, signal, w, A, ends, g_last)
    return [g_y.new_empty(0) if t is None else torch.empty_like(t) for t in given]


def _setup(ctx, inputs, output) -> None:
    q, x, d, w, A, ends, start, ctx.factors = inputs
    ctx.set_materialize_grads(False)  # nobody asks for gradients to what is kept
    ctx.start = start.shape
    _, _, states, signal = output
    ctx.save_for_backward(q, x, d if w is None else signal, w, A, ends, states)


def _backward(ctx, g_y, g_last, *kept):
    saved = ctx.saved_tensors
    found = _scan_backward(*given_grads(g_y, g_last, saved[2], ctx.start), *saved, ctx.factors)
    found[3] = found[3] if saved[3] is not None else None
    return *found, None


_scan.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *given):
    """Replicas are more sequences."""
    *tensors, start, factors = given
    size = info.batch_size
    merged = [
        None if t is None else into(t, axis, size, 1)
        for t, axis in zip(tensors, axes, strict=False)
    ]
    found = _scan(*merged, into(start, axes[-2], size, 0), factors)
    places = (1, 0, 1, 1)
    apart = [
        t.unflatten(at, (size, -1)) if t.numel() else t.expand(size, 0)
        for t, at in zip(found, places, strict=True)
    ]
    return tuple(apart), (1, 0, 1, 1 if found[3].numel() else 0)


torch.library.register_vmap("playground::weighted_scan", _replicas)
