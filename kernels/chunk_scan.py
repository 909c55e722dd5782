"""Linear memories chunk by chunk: one operator for rules whose writes are outer products.

A state is a memory M [K, V] and, with momentum, a momentum P [K, V] below it (R = 2 K rows, else
R = K). In every chunk, with all that depends on gates given as numbers:

    D     = d + w [M; P]                               error signals, [C, V]; w only for class B
    y_t   = b_t q_t M + c_t q_t P - sum_i A[t, i] (q_t . x_i) D_i
    M, P <- ends[0] M + ends[1] P - sum_i last_i x_i D_i^T,   ends[2] P - sum_i e_i x_i D_i^T

The state is sequential over chunks, and everything else is parallel (as for DeltaNet,
arXiv:2406.06484). What the letters are for a rule is told by who calls.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import chunk_scan_kernels as programs
from kernels.launch import check_types, kind_of, launch, sides
from kernels.replicas import into
from kernels.tokens import given_grads


class Chunks(NamedTuple):
    """N chunks of G independent sequences, all contiguous and of one dtype.

    q, x: [N, G, C, K]; d: [N, G, C, V]; w: [N, G, C, R] or None.
    b, c: [N, G, C]; A: [N, G, C, C]; last, e: [N, G, C]; ends: [N, G, 3]. Without momentum c and e
    are None, and ends[..., 1:] is not read.
    """

    q: Tensor
    x: Tensor
    d: Tensor
    w: Tensor | None
    b: Tensor
    c: Tensor | None
    A: Tensor
    last: Tensor
    e: Tensor | None
    ends: Tensor


def chunk_scan(
    chunks: Chunks, start: Tensor, factors: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Run the chunks from a state.

    Args:
        chunks: see `Chunks`.
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


def _sizes(
    q: Tensor, d: Tensor, factors: torch.dtype, *, momentum: bool, solved: bool
) -> dict[str, Any]:
    """What programs are told beside tensors."""
    (N, G, C, K), V = q.shape, d.shape[3]
    sizes = {"N": N, "G": G, "C": C, "K": K, "V": V, "MOMENTUM": momentum, "SOLVED": solved}
    types = {"T": kind_of(factors), "ACC": kind_of(torch.promote_types(q.dtype, torch.float32))}
    return sizes | types | sides(C, K, factors)


@torch.library.custom_op("playground::chunk_scan", mutates_args=())
def _scan(
    q: Tensor,
    x: Tensor,
    d: Tensor,
    w: Tensor | None,
    b: Tensor,
    c: Tensor | None,
    A: Tensor,
    last: Tensor,
    e: Tensor | None,
    ends: Tensor,
    start: Tensor,
    factors: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, the last state, the states before every chunk, and D where it was not given."""
    check_types(factors, q, x, d, w, b, c, A, last, e, ends, start)
    N, G = q.shape[:2]
    states, after = start.new_empty(N, *start.shape), torch.empty_like(start)
    signal = torch.empty_like(d) if w is not None else d.new_empty(0)
    sizes = _sizes(q, d, factors, momentum=c is not None, solved=w is not None)
    launch(
        programs.states_fwd, G, x, d, w, last, e, ends, start, states, after, signal,
        values=True, **sizes,
    )  # fmt: skip
    y, used = torch.empty_like(d), d if w is None else signal
    launch(programs.reads_fwd, N * G, q, x, used, b, c, A, states, y, values=True, **sizes)
    return y, after, states, signal


@_scan.register_fake
def _(q, x, d, w, b, c, A, last, e, ends, start, factors):
    states = start.new_empty(q.shape[0], *start.shape)
    signal = torch.empty_like(d) if w is not None else d.new_empty(0)
    return torch.empty_like(d), torch.empty_like(start), states, signal


@torch.library.custom_op("playground::chunk_scan_backward", mutates_args=())
def _scan_backward(
    g_y: Tensor,
    g_last: Tensor,
    q: Tensor,
    x: Tensor,
    signal: Tensor,
    w: Tensor | None,
    b: Tensor,
    c: Tensor | None,
    A: Tensor,
    last: Tensor,
    e: Tensor | None,
    ends: Tensor,
    states: Tensor,
    factors: torch.dtype,
) -> list[Tensor]:
    """Gradients to q, x, d, w, b, c, A, last, e, ends, start; empty for those that are None."""
    chunks, G = q.shape[0] * q.shape[1], q.shape[1]
    g_states, g_signal = torch.empty_like(states), torch.empty_like(signal)
    g_start, g_ends = torch.empty_like(states[0]), torch.zeros_like(ends)
    given = {"q": q, "x": x, "w": w, "b": b, "c": c, "A": A, "last": last, "e": e}
    found = {name: _like(t, g_y) for name, t in given.items()}
    sizes = _sizes(q, signal, factors, momentum=c is not None, solved=w is not None)
    launch(programs.signals_bwd, chunks, q, x, A, g_y, g_signal, values=True, **sizes)
    launch(
        programs.states_bwd, G,
        q, x, w, b, c, last, e, ends, g_y, g_last, g_signal, g_states, g_start,
        values=True, **sizes,
    )  # fmt: skip
    launch(
        programs.scores_bwd, chunks, q, x, signal, A, g_y,
        found["q"], found["x"], found["A"], **sizes,
    )  # fmt: skip
    launch(
        programs.reads_bwd, chunks, q, b, c, states, g_y,
        found["q"], found["b"], found["c"], **sizes,
    )  # fmt: skip
    launch(
        programs.writes_bwd, chunks, x, signal, last, e, states, g_states, g_signal,
        found["x"], found["w"], found["last"], found["e"], g_ends, **sizes,
    )  # fmt: skip
    order = ("q", "x", "", "w", "b", "c", "A", "last", "e")
    return [*(found[name] if name else g_signal for name in order), g_ends, g_start]


def _like(t: Tensor | None, other: Tensor) -> Tensor:
    """Room for a gradient; empty for what is not there."""
    return other.new_empty(0) if t is None else torch.empty_like(t)


@_scan_backward.register_fake
def _(g_y, g_last, q, x, signal, w, b, c, A, last, e, ends, states, factors):
    given = (q, x, signal, w, b, c, A, last, e, ends, g_last)
    return [_like(t, g_y) for t in given]


def _setup(ctx, inputs, output) -> None:
    q, x, d, w, b, c, A, last, e, ends, start, ctx.factors = inputs
    ctx.set_materialize_grads(False)  # nobody asks for gradients to what is kept
    ctx.start = start.shape
    _, _, states, signal = output
    ctx.save_for_backward(q, x, d if w is None else signal, w, b, c, A, last, e, ends, states)


def _backward(ctx, g_y, g_last, *kept):
    saved = ctx.saved_tensors
    given = [t is not None for t in saved[:10]]
    found = _scan_backward(*given_grads(g_y, g_last, saved[2], ctx.start), *saved, ctx.factors)
    grads = [g if there else None for g, there in zip(found, given, strict=False)]
    return *grads, found[-1], None


_scan.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *given):
    """Replicas are more sequences."""
    *tensors, start, factors = given
    axes = list(axes)
    merged = [
        None if t is None else into(t, axis, info.batch_size, 1)
        for t, axis in zip(tensors, axes, strict=False)
    ]
    y, last, states, signal = _scan(*merged, into(start, axes[-2], info.batch_size, 0), factors)
    found = [
        t.unflatten(at, (info.batch_size, -1)) if t.numel() else t.expand(info.batch_size, 0)
        for t, at in ((y, 1), (last, 0), (states, 1), (signal, 1))
    ]
    return tuple(found), (1, 0, 1, 1 if signal.numel() else 0)


torch.library.register_vmap("playground::chunk_scan", _replicas)
