"""The programs behind `channel_filter`: what every token left, step by step, in registers.

A program has one chunk. Row i of its tiles is what the memory and the momentum have of token i, in
every channel; each token multiplies the rows before it by its gates. No logarithm and no quotient:
exact at gates of 0 and 1.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _put, _tile


@triton.jit
def channels_fwd(
    # in: queries, tokens, gates; 1 where a momentum enters the memory, else 0
    q_ptr, x_ptr, lr_ptr, keep_ptr, eta_ptr, live_ptr,
    # out: queries against tokens, queries against the first state, what the last state has of the
    # tokens and of the first
    a_ptr, reads_ptr, writes_ptr, ends_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr,
    BEFORE: tl.constexpr, ACC: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """memory_t = keep_t memory_{t-1} + momentum_t, read by q_t after its token or BEFORE it."""
    at = tl.program_id(0).to(tl.int64)
    i, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_i, in_k = i < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    memory = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
    momentum = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
    b = tl.full([BLOCK_K], 1.0, ACC)
    m = tl.full([BLOCK_K], 1.0, ACC)
    c = tl.zeros([BLOCK_K], dtype=ACC)
    for t in range(C):
        token = at * C + t
        q = _line(q_ptr + token * K, k, in_k, ACC)
        keep = _line(keep_ptr + token * K, k, in_k, ACC)
        x = tl.load(lr_ptr + token).to(ACC) * _line(x_ptr + token * K, k, in_k, ACC)
        own = tl.where((i == t)[:, None], x[None, :], 0.0)
        seen, b_seen, c_seen = memory, b, c
        memory *= keep[None, :]
        b *= keep
        if MOMENTUM:
            eta = tl.load(eta_ptr + token).to(ACC)
            momentum = eta * momentum + own
            m *= eta
            c *= keep
            live = tl.load(live_ptr + token).to(ACC) if MASKED else 1.0
            memory += live * momentum
            c += live * m
        else:
            memory += own
        if not BEFORE:
            seen, b_seen, c_seen = memory, b, c
        score = tl.sum(seen * q[None, :], 1)
        tl.store(a_ptr + token * C + i, score.to(a_ptr.dtype.element_ty), mask=in_i)
        reads = reads_ptr + token * R + k
        tl.store(reads, (b_seen * q).to(reads_ptr.dtype.element_ty), mask=in_k)
        if MOMENTUM:
            tl.store(reads + K, (c_seen * q).to(reads_ptr.dtype.element_ty), mask=in_k)
    ends = ends_ptr + at * (3 * K if MOMENTUM else K) + k
    tl.store(ends, b.to(ends_ptr.dtype.element_ty), mask=in_k)
    _put(writes_ptr + at * C * R, memory, i, k, R, in_i, in_k)
    if MOMENTUM:
        tl.store(ends + K, c.to(ends_ptr.dtype.element_ty), mask=in_k)
        tl.store(ends + 2 * K, m.to(ends_ptr.dtype.element_ty), mask=in_k)
        _put(writes_ptr + at * C * R + K, momentum, i, k, R, in_i, in_k)


@triton.jit
def channels_bwd(
    # in: as forward
    q_ptr, x_ptr, lr_ptr, keep_ptr, eta_ptr, live_ptr,
    # in: gradients to what forward gave
    g_a_ptr, g_reads_ptr, g_writes_ptr, g_ends_ptr,
    # out: gradients
    g_q_ptr, g_x_ptr, g_lr_ptr, g_keep_ptr, g_eta_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr,
    BEFORE: tl.constexpr, ACC: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The same recurrence in reverse; what a token met is made anew from the chunk's start."""
    at = tl.program_id(0).to(tl.int64)
    i, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_i, in_k = i < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    ends = g_ends_ptr + at * (3 * K if MOMENTUM else K)
    g_memory = _tile(g_writes_ptr + at * C * R, i, k, R, in_i, in_k, ACC)
    g_momentum = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
    g_b = _line(ends, k, in_k, ACC)
    g_c = tl.zeros([BLOCK_K], dtype=ACC)
    g_m = tl.zeros([BLOCK_K], dtype=ACC)
    if MOMENTUM:
        g_momentum = _tile(g_writes_ptr + at * C * R + K, i, k, R, in_i, in_k, ACC)
        g_c = _line(ends + K, k, in_k, ACC)
        g_m = _line(ends + 2 * K, k, in_k, ACC)
    for back in range(C):
        t = C - 1 - back
        token = at * C + t
        memory = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)  # before token t
        momentum = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        b = tl.full([BLOCK_K], 1.0, ACC)
        m = tl.full([BLOCK_K], 1.0, ACC)
        c = tl.zeros([BLOCK_K], dtype=ACC)
        for s in range(t):
            one = at * C + s
            keep = _line(keep_ptr + one * K, k, in_k, ACC)
            x = tl.load(lr_ptr + one).to(ACC) * _line(x_ptr + one * K, k, in_k, ACC)
            own = tl.where((i == s)[:, None], x[None, :], 0.0)
            memory *= keep[None, :]
            b *= keep
            if MOMENTUM:
                eta = tl.load(eta_ptr + one).to(ACC)
                momentum = eta * momentum + own
                m *= eta
                live = tl.load(live_ptr + one).to(ACC) if MASKED else 1.0
                memory += live * momentum
                c = keep * c + live * m
            else:
                memory += own
        keep = _line(keep_ptr + token * K, k, in_k, ACC)
        x = _line(x_ptr + token * K, k, in_k, ACC)
        lr = tl.load(lr_ptr + token).to(ACC)
        seen, b_seen, c_seen = memory, b, c
        if MOMENTUM:
            eta = tl.load(eta_ptr + token).to(ACC)
            live = tl.load(live_ptr + token).to(ACC) if MASKED else 1.0
        if not BEFORE:
            own = tl.where((i == t)[:, None], (lr * x)[None, :], 0.0)
            b_seen = keep * b
            if MOMENTUM:
                seen = keep[None, :] * memory + live * (eta * momentum + own)
                c_seen = keep * c + live * eta * m
            else:
                seen = keep[None, :] * memory + own
        # what q_t read
        q = _line(q_ptr + token * K, k, in_k, ACC)
        score = _line(g_a_ptr + token * C, i, in_i, ACC)
        read = _line(g_reads_ptr + token * R, k, in_k, ACC)
        g_q = tl.sum(score[:, None] * seen, 0) + read * b_seen
        to_memory, to_b, to_c = score[:, None] * q[None, :], read * q, g_c
        if MOMENTUM:
            read = _line(g_reads_ptr + token * R + K, k, in_k, ACC)
            g_q += read * c_seen
            to_c = read * q
        tl.store(g_q_ptr + token * K + k, g_q.to(g_q_ptr.dtype.element_ty), mask=in_k)
        if not BEFORE:
            g_memory += to_memory
            g_b += to_b
            if MOMENTUM:
                g_c += to_c
        # what token t did
        g_keep = tl.sum(g_memory * memory, 0) + g_b * b
        met = g_memory
        if MOMENTUM:
            g_keep += g_c * c
            g_momentum += live * g_memory
            g_m += live * g_c
            met = g_momentum
            g_eta = tl.sum(tl.sum(g_momentum * momentum, 0) + g_m * m, 0)
            tl.store(g_eta_ptr + token, g_eta.to(g_eta_ptr.dtype.element_ty))
        g_own = tl.sum(tl.where((i == t)[:, None], met, 0.0), 0)
        tl.store(g_keep_ptr + token * K + k, g_keep.to(g_keep_ptr.dtype.element_ty), mask=in_k)
        tl.store(g_x_ptr + token * K + k, (lr * g_own).to(g_x_ptr.dtype.element_ty), mask=in_k)
        tl.store(g_lr_ptr + token, tl.sum(x * g_own, 0).to(g_lr_ptr.dtype.element_ty))
        g_memory *= keep[None, :]
        g_b *= keep
        if MOMENTUM:
            g_momentum *= eta
            g_m *= eta
            g_c *= keep
        if BEFORE:
            g_memory += to_memory
            g_b += to_b
            if MOMENTUM:
                g_c += to_c
