"""A deep memory that learns at test time, chunk by chunk: Titans' network of one or two matrices.

Titans, arXiv:2501.00663, eq. 16: every token descends the squared error of the memory at its
chunk's start. For a chunk of C tokens, with phi the exact GELU, N a layer norm without gain or
nothing, [k] there with a residual, and all that depends on gates given as numbers (b, c, A, last,
e, ends, for either matrix):

    keys     Z1 = k W1,  X = phi(Z1),  Z2 = X W2,  g = 2 ([k] + N(Z2) - v)
             D2 = N'(Z2) g,  U = D2 W2^T,  D1 = U * phi'(Z1)
    queries  Y1 = b1 q W1 + c1 q S1 - (A1 * q k^T) D1,  Q = phi(Y1)
             Y2 = b2 Q W2 + c2 Q S2 - (A2 * Q X^T) D2,  y = [q] + N(Y2)
    states   W <- ends[0] W + ends[1] S - (last x)^T D,  S <- ends[2] S - (e x)^T D,  x = k or X

A memory of one matrix has X = k and Q = q. Only `states` is sequential, with the keys it needs
(`deep_keys.py`, a program per sequence and head); queries are parallel over chunks.

Backward runs the keys again, and the queries back to what they read: gradients that reach X, D1,
D2, S and W by reading (`deep_reads.py`). Then in reverse over chunks (`deep_states.py`), with gW
and gS the gradients to the state after the chunk, and J = N'(Z2), which is symmetric:

    gD1 = read - last1 k gW1 - e1 k gS1,     gU = gD1 * phi'(Z1)
    gD2 = read - last2 X gW2 - e2 X gS2 + gU W2
    gv  = -2 J gD2,   gZ2 = -J gv + bend,    gk gets -gv with a residual
    gX  = read - last2 D2 gW2^T - e2 D2 gS2^T + gZ2 W2^T
    gZ1 = gX * phi'(Z1) + gD1 * U * phi''(Z1)
    gW2 <- ends[0] gW2 + read + gU^T D2 + X^T gZ2,     gW1 <- ends[0] gW1 + read + k^T gZ1
    gS  <- ends[1] gW + ends[2] gS + read

D1 and D2 are gradients themselves, so here are second derivatives: phi'' and, with h = N(Z2), s one
over the standard deviation, p = gD2, m(.) the mean over channels, bend = d <p, J g> / dZ2:

    bend = -s^2 (m(p g) - m(p) m(g) - m(p h) m(g h)) h - s m(g h) J p - s m(p h) J g
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kernels import deep_keys, deep_reads, deep_states, deep_writes
from kernels.deep_launch import Job, pieces
from kernels.launch import check_types
from kernels.replicas import into


class Chunks(NamedTuple):
    """N chunks of G independent sequences, all of one dtype, and the filters of L matrices.

    q, k, v: [N, G, C, K]; b, c, last, e: [L, N, G, C]; A: [L, N, G, C, C]; ends: [L, N, G, 3].
    Without momentum c and e are None, and ends[..., 1:] is not read.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    b: Tensor
    c: Tensor | None
    A: Tensor
    last: Tensor
    e: Tensor | None
    ends: Tensor


def deep_chunk(
    chunks: Chunks,
    start: tuple[Tensor | None, Tensor],
    *,
    residual: bool,
    norm: bool,
    factors: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the chunks from a state.

    Args:
        chunks: see `Chunks`; L is 2, or 1 for a memory of one matrix.
        start: memory, and momentum below it, of both matrices: [G, R1, H] and [G, R2, K] with
            R1 = 2 K and R2 = 2 H, or K and H without momentum. Of one matrix: None, [G, R2, K],
            with H = K.
        residual: whether the network adds its input.
        norm: whether it has a layer norm.
        factors: the type of the factors of all products; None for that of the tensors.

    Returns:
        y [N, G, C, K], and the state after the last chunk, as `start`; empty for None.

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
        ValueError: a chunk or a head that is too large.
    """
    given = [None if t is None else t.contiguous() for t in (*chunks, *start)]
    needed = any(t is not None and t.requires_grad for t in given)
    keep = torch.is_grad_enabled() and needed
    y, first, second, _, _ = deep_forward(*given, residual, norm, keep, factors or chunks.q.dtype)
    return y, first, second


@torch.library.custom_op("playground::deep_chunk", mutates_args=())
def deep_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    b: Tensor,
    c: Tensor | None,
    A: Tensor,
    last: Tensor,
    e: Tensor | None,
    ends: Tensor,
    first: Tensor | None,
    second: Tensor,
    residual: bool,
    norm: bool,
    keep: bool,
    factors: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """y, the last states, and, if they are to be kept, the states before every chunk and after."""
    check_types(factors, q, k, v, b, c, A, last, e, ends, first, second)
    job = Job(q, c, second, len(b), factors, RESIDUAL=residual, NORM=norm)
    N, G, C, _ = q.shape
    both = [None if t is None else t.clone() for t in (first, second)]
    numbers = sum(t.numel() for t in both if t is not None)
    kept = [second.new_empty(0) for _ in both]
    y = torch.empty_like(q)
    for piece in [slice(0, N)] if keep else pieces(N, numbers):
        count = piece.stop - piece.start
        states = [None if t is None else t.new_empty(count + 1, *t.shape) for t in both]
        for room, t in zip(states, both, strict=True):
            if room is not None and t is not None:
                room[0].copy_(t)
        query, key = q[piece].to(factors), k[piece].to(factors)
        slope = q.new_empty(count, G, C, job.H) if job.deep else None
        x = query.new_empty(count, G, C, job.H) if job.deep else key
        d1 = torch.empty_like(x) if job.deep else None
        d2, z2 = torch.empty_like(key), torch.empty_like(q[piece])
        given = [None if t is None else t[:, piece] for t in (b, c, A, last, e, ends)]
        tables, ending = given[:3], given[3:]
        job.start(
            deep_keys.keys_fwd, G,
            k[piece], v[piece], key, *ending, *states, x, slope, None, z2, d1, d2, None,
            N=count, G=G, CARRY=True,
        )  # fmt: skip
        job.start(
            deep_reads.reads_fwd, count * G,
            q[piece], query, key, *tables, *states, x, d1, d2, None,
            y[piece], None, None if job.deep else query, None, None, None, None, None, BACK=False,
        )  # fmt: skip
        both = [None if room is None else room[count].clone() for room in states]
        if keep:
            kept = [t.new_empty(0) if r is None else r for r, t in zip(states, kept, strict=True)]
    after = [second.new_empty(0) if t is None else t for t in both]
    return y, after[0], after[1], kept[0], kept[1]


@deep_forward.register_fake
def _(q, k, v, b, c, A, last, e, ends, first, second, residual, norm, keep, factors):
    after = [second.new_empty(0 if t is None else t.shape) for t in (first, second)]
    kept = [
        second.new_empty((q.shape[0] + 1, *t.shape) if keep and t is not None else 0)
        for t in (first, second)
    ]
    return torch.empty_like(q), *after, *kept


@torch.library.custom_op("playground::deep_chunk_backward", mutates_args=())
def deep_backward(
    g_y: Tensor,
    g_first: Tensor | None,
    g_second: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    b: Tensor,
    c: Tensor | None,
    A: Tensor,
    last: Tensor,
    e: Tensor | None,
    ends: Tensor,
    firsts: Tensor | None,
    seconds: Tensor,
    residual: bool,
    norm: bool,
    factors: torch.dtype,
) -> list[Tensor]:
    """Gradients to q, k, v, b, c, A, last, e, ends, first, second; empty for those not there."""
    job = Job(q, c, seconds, len(b), factors, RESIDUAL=residual, NORM=norm)
    N, G, C, _ = q.shape
    programs, query, key = N * G, q.to(factors), k.to(factors)

    def wide(kind: torch.dtype) -> Tensor:
        return q.new_empty(N, G, C, job.H, dtype=kind)

    def hidden(kind: torch.dtype = factors) -> Tensor | None:
        return wide(kind) if job.deep else None

    def room(t: Tensor | None) -> Tensor | None:
        return None if t is None else torch.empty_like(t)

    exact = q.dtype
    inner = factors if job.deep else exact  # of one matrix these are what q and k are given
    slope, curve, bent, from_d1, slope_y = (hidden(exact) for _ in range(5))
    d1, g_u = hidden(), hidden()
    x, asked = (hidden(), hidden()) if job.deep else (key, query)
    g_y1, g_z1, from_x = wide(inner), wide(inner), wide(exact)
    z2, from_d2, g_d2, g_q, g_k, g_v = (torch.empty_like(q) for _ in range(6))
    d2, g_y2, g_z2 = (torch.empty_like(query) for _ in range(3))
    own, read, met = (query.new_empty(N, G, C, C) for _ in range(3))
    g_b, g_c, g_A, g_last, g_e, g_ends = (room(t) for t in (b, c, A, last, e, ends))
    g_firsts, g_seconds = room(firsts), torch.empty_like(seconds)
    for states, g in ((g_firsts, g_first), (g_seconds, g_second)):
        if states is not None and g is not None:
            states[N].copy_(g)
    job.start(
        deep_keys.keys_fwd, programs,
        k, v, key, last, e, ends, firsts, seconds, x, slope, bent, z2, d1, d2, curve,
        N=1, G=programs, CARRY=False,
    )  # fmt: skip
    job.start(
        deep_reads.reads_fwd, programs,
        q, query, key, b, c, A, firsts, seconds, x, d1, d2, g_y,
        None, slope_y, asked, g_y2, g_A, own, read, met, BACK=True,
    )  # fmt: skip
    job.start(
        deep_reads.hidden_bwd, programs,
        b, c, seconds, x, slope_y, asked, g_y2, own, read, met,
        g_b, g_c, g_y1, from_x, from_d1, from_d2,
    )  # fmt: skip
    job.start(
        deep_reads.memories_bwd, programs, query, asked, b, c, g_y1, g_y2, g_firsts, g_seconds
    )
    job.start(
        deep_states.states_bwd, G,
        k, v, key, last, e, ends, seconds, x, slope, curve, z2, d2,
        from_x, from_d1, from_d2, g_firsts, g_seconds, bent, g_u, g_d2, g_z1, g_z2, g_v,
        N=N, G=G,
    )  # fmt: skip
    if job.deep:
        met = torch.empty_like(met)
        job.start(
            deep_reads.queries_bwd, programs,
            query, key, b, c, A, firsts, d1, g_y, g_y1, g_q, g_b, g_c, g_A, met,
        )  # fmt: skip
        job.start(
            deep_writes.keys_bwd, programs,
            query, key, last, e, firsts, d1, g_firsts, g_z1, g_v, met, g_k, g_last, g_e, G=G,
        )  # fmt: skip
    else:
        g_q = g_y1 + g_y if residual else g_y1
        g_k = g_z1 - g_v if residual else g_z1
    job.start(deep_writes.weights_bwd, programs, x, d2, g_seconds, g_last, g_e, G=G)
    _ends(job, g_ends, (firsts, g_firsts), (seconds, g_seconds))
    found = (g_q, g_k, g_v, g_b, g_c, g_A, g_last, g_e, g_ends)
    start = (None if g_firsts is None else g_firsts[0].clone(), g_seconds[0].clone())
    return [q.new_empty(0) if t is None else t for t in (*found, *start)]


def _ends(job: Job, g_ends: Tensor | None, *matrices: tuple[Tensor | None, Tensor | None]) -> None:
    """Gradients to what a chunk keeps of its states, matrix by matrix."""
    assert g_ends is not None
    there = [pair for pair in matrices if pair[0] is not None]
    for out, (states, g_states) in zip(g_ends, there, strict=True):
        job.start(
            deep_writes.ends_bwd, job.N * job.G, states, g_states, out, G=job.G, SIZE=job.K * job.H
        )


@deep_backward.register_fake
def _(
    g_y,
    g_first,
    g_second,
    q,
    k,
    v,
    b,
    c,
    A,
    last,
    e,
    ends,
    firsts,
    seconds,
    residual,
    norm,
    factors,
):
    given = (q, k, v, b, c, A, last, e, ends, g_first, g_second)
    return [q.new_empty(0) if t is None else torch.empty_like(t) for t in given]


def _setup(ctx, inputs, output) -> None:
    *tensors, first, _, ctx.residual, ctx.norm, keep, ctx.factors = inputs
    ctx.deep, ctx.keep = first is not None, keep
    firsts, seconds = output[3:]
    ctx.save_for_backward(*tensors, firsts if ctx.deep else None, seconds)


def _backward(ctx, g_y, g_first, g_second, *kept):
    if not ctx.keep:
        raise RuntimeError("deep_chunk: gradients need keep=True")
    g_first = g_first.contiguous() if ctx.deep else None
    saved = ctx.saved_tensors
    found = deep_backward(
        g_y.contiguous(),
        g_first,
        g_second.contiguous(),
        *saved,
        ctx.residual,
        ctx.norm,
        ctx.factors,
    )
    there = [t is not None for t in saved]
    grads = [g if known else None for g, known in zip(found, there, strict=True)]
    return *grads, None, None, None, None


deep_forward.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *given):
    """Replicas are more sequences."""
    *tensors, first, second, residual, norm, keep, factors = given
    size, places = info.batch_size, [1, 1, 1, *[2] * 6, 0, 0]
    merged = [
        None if t is None else into(t, axis, size, at)
        for t, axis, at in zip((*tensors, first, second), axes, places, strict=False)
    ]
    # inside vmap a tensor does not say that it needs gradients
    needed = any(t is not None and t.requires_grad for t in merged)
    keep = keep or (torch.is_grad_enabled() and needed)
    found = deep_forward(*merged, residual, norm, keep, factors)
    outs = (1, 0, 0, 1, 1)
    apart = [
        t.unflatten(at, (size, -1)) if t.numel() else t.expand(size, 0)
        for t, at in zip(found, outs, strict=True)
    ]
    return tuple(apart), tuple(at if t.numel() else 0 for t, at in zip(found, outs, strict=True))


torch.library.register_vmap("playground::deep_chunk", _replicas)
