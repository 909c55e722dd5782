"""The programs behind `channel_filter`: what every token left, step by step, in registers.

A program has BLOCK_P chunks side by side. Row i of its tiles is what the memory and the momentum of
a chunk have of token i, in every channel; each token multiplies the rows before it by its gates. No
logarithm and no quotient: exact at gates of 0 and 1.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.tiles import load_line, load_tile, store_tile


@triton.jit
def channels_fwd(
    # in: queries, tokens, gates; 1 where a momentum enters the memory, else 0
    q_ptr, x_ptr, lr_ptr, keep_ptr, eta_ptr, live_ptr,
    # out: queries against tokens, queries against the first state, what the last state has of the
    # tokens and of the first
    a_ptr, reads_ptr, writes_ptr, ends_ptr,
    # sizes
    P, C: tl.constexpr, K: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr,
    BEFORE: tl.constexpr, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """memory_t = keep_t memory_{t-1} + momentum_t, read by q_t after its token or BEFORE it."""
    at = tl.program_id(0).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    i, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_p, in_i, in_k = at < P, i < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    E: tl.constexpr = 3 * K if MOMENTUM else K
    memory = tl.zeros([BLOCK_P, BLOCK_C, BLOCK_K], dtype=ACC)
    momentum = tl.zeros([BLOCK_P, BLOCK_C, BLOCK_K], dtype=ACC)
    b = tl.full([BLOCK_P, BLOCK_K], 1.0, ACC)
    c = tl.zeros([BLOCK_P, BLOCK_K], dtype=ACC)
    m = tl.full([BLOCK_P], 1.0, ACC)
    for t in range(C):
        token = at * C + t
        q = load_tile(q_ptr, token, k, K, in_p, in_k, ACC)
        keep = load_tile(keep_ptr, token, k, K, in_p, in_k, ACC)
        x = load_tile(x_ptr, token, k, K, in_p, in_k, ACC)
        x *= load_line(lr_ptr, token, in_p, ACC)[:, None]
        own = tl.where((i == t)[None, :, None], x[:, None, :], 0.0)
        seen, b_seen, c_seen = memory, b, c
        memory *= keep[:, None, :]
        b *= keep
        if MOMENTUM:
            eta = load_line(eta_ptr, token, in_p, ACC)
            momentum = eta[:, None, None] * momentum + own
            m *= eta
            c *= keep
            if MASKED:
                live = load_line(live_ptr, token, in_p, ACC)
                memory += live[:, None, None] * momentum
                c += (live * m)[:, None]
            else:
                memory += momentum
                c += m[:, None]
        else:
            memory += own
        if not BEFORE:
            seen, b_seen, c_seen = memory, b, c
        store_tile(a_ptr, tl.sum(seen * q[:, None, :], 2), token, i, C, in_p, in_i)
        store_tile(reads_ptr, b_seen * q, token, k, R, in_p, in_k)
        if MOMENTUM:
            store_tile(reads_ptr + K, c_seen * q, token, k, R, in_p, in_k)
    rows = writes_ptr + ((at * C)[:, None, None] + i[None, :, None]) * R + k[None, None, :]
    inside = in_p[:, None, None] & in_i[None, :, None] & in_k[None, None, :]
    tl.store(rows, memory.to(writes_ptr.dtype.element_ty), mask=inside)
    store_tile(ends_ptr, b, at, k, E, in_p, in_k)
    if MOMENTUM:
        tl.store(rows + K, momentum.to(writes_ptr.dtype.element_ty), mask=inside)
        store_tile(ends_ptr + K, c, at, k, E, in_p, in_k)
        store_tile(ends_ptr + 2 * K, m[:, None] + 0.0 * c, at, k, E, in_p, in_k)


@triton.jit
def channels_bwd(
    # in: as forward
    q_ptr, x_ptr, lr_ptr, keep_ptr, eta_ptr, live_ptr,
    # in: gradients to what forward gave
    g_a_ptr, g_reads_ptr, g_writes_ptr, g_ends_ptr,
    # out: gradients
    g_q_ptr, g_x_ptr, g_lr_ptr, g_keep_ptr, g_eta_ptr,
    # sizes
    P, C: tl.constexpr, K: tl.constexpr, MOMENTUM: tl.constexpr, MASKED: tl.constexpr,
    BEFORE: tl.constexpr, ACC: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The same recurrence in reverse; what a token met is made anew from the chunk's start."""
    at = tl.program_id(0).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    i, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_p, in_i, in_k = at < P, i < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    E: tl.constexpr = 3 * K if MOMENTUM else K
    rows = g_writes_ptr + ((at * C)[:, None, None] + i[None, :, None]) * R + k[None, None, :]
    inside = in_p[:, None, None] & in_i[None, :, None] & in_k[None, None, :]
    g_memory = tl.load(rows, mask=inside, other=0.0).to(ACC)
    g_b = load_tile(g_ends_ptr, at, k, E, in_p, in_k, ACC)
    g_momentum, g_c = g_memory, g_b  # of no meaning without momentum
    g_m = tl.zeros([BLOCK_P], dtype=ACC)
    if MOMENTUM:
        g_momentum = tl.load(rows + K, mask=inside, other=0.0).to(ACC)
        g_c = load_tile(g_ends_ptr + K, at, k, E, in_p, in_k, ACC)
        g_m = tl.sum(load_tile(g_ends_ptr + 2 * K, at, k, E, in_p, in_k, ACC), 1)
    for back in range(C):
        t = C - 1 - back
        memory = tl.zeros([BLOCK_P, BLOCK_C, BLOCK_K], dtype=ACC)  # before token t
        momentum = tl.zeros([BLOCK_P, BLOCK_C, BLOCK_K], dtype=ACC)
        b = tl.full([BLOCK_P, BLOCK_K], 1.0, ACC)
        c = tl.zeros([BLOCK_P, BLOCK_K], dtype=ACC)
        m = tl.full([BLOCK_P], 1.0, ACC)
        for s in range(t):
            one = at * C + s
            keep = load_tile(keep_ptr, one, k, K, in_p, in_k, ACC)
            x = load_tile(x_ptr, one, k, K, in_p, in_k, ACC)
            x *= load_line(lr_ptr, one, in_p, ACC)[:, None]
            own = tl.where((i == s)[None, :, None], x[:, None, :], 0.0)
            memory *= keep[:, None, :]
            b *= keep
            if MOMENTUM:
                eta = load_line(eta_ptr, one, in_p, ACC)
                momentum = eta[:, None, None] * momentum + own
                m *= eta
                c *= keep
                if MASKED:
                    live = load_line(live_ptr, one, in_p, ACC)
                    memory += live[:, None, None] * momentum
                    c += (live * m)[:, None]
                else:
                    memory += momentum
                    c += m[:, None]
            else:
                memory += own
        token = at * C + t
        keep = load_tile(keep_ptr, token, k, K, in_p, in_k, ACC)
        x = load_tile(x_ptr, token, k, K, in_p, in_k, ACC)
        lr = load_line(lr_ptr, token, in_p, ACC)
        eta = lr
        live = tl.full([BLOCK_P], 1.0, ACC)
        if MOMENTUM:
            eta = load_line(eta_ptr, token, in_p, ACC)
            if MASKED:
                live = load_line(live_ptr, token, in_p, ACC)
        seen, b_seen, c_seen = memory, b, c
        if not BEFORE:
            own = tl.where((i == t)[None, :, None], (lr[:, None] * x)[:, None, :], 0.0)
            seen = keep[:, None, :] * memory
            b_seen = keep * b
            if MOMENTUM:
                seen += live[:, None, None] * (eta[:, None, None] * momentum + own)
                c_seen = keep * c + (live * eta * m)[:, None]
            else:
                seen += own
        # what q_t read
        q = load_tile(q_ptr, token, k, K, in_p, in_k, ACC)
        score = load_tile(g_a_ptr, token, i, C, in_p, in_i, ACC)
        read = load_tile(g_reads_ptr, token, k, R, in_p, in_k, ACC)
        g_q = tl.sum(score[:, :, None] * seen, 1) + read * b_seen
        to_memory, to_b, to_c = score[:, :, None] * q[:, None, :], read * q, read
        if MOMENTUM:
            read = load_tile(g_reads_ptr + K, token, k, R, in_p, in_k, ACC)
            g_q += read * c_seen
            to_c = read * q
        store_tile(g_q_ptr, g_q, token, k, K, in_p, in_k)
        if not BEFORE:
            g_memory, g_b, g_c = g_memory + to_memory, g_b + to_b, g_c + to_c
        # what token t did
        g_keep = tl.sum(g_memory * memory, 1) + g_b * b
        met = g_memory
        if MOMENTUM:
            g_keep += g_c * c
            g_momentum += live[:, None, None] * g_memory
            g_m += live * tl.sum(g_c, 1)
            met = g_momentum
            g_eta = tl.sum(tl.sum(g_momentum * momentum, 1), 1) + g_m * m
            tl.store(g_eta_ptr + token, g_eta.to(g_eta_ptr.dtype.element_ty), mask=in_p)
        g_own = tl.sum(tl.where((i == t)[None, :, None], met, 0.0), 1)
        store_tile(g_keep_ptr, g_keep, token, k, K, in_p, in_k)
        store_tile(g_x_ptr, lr[:, None] * g_own, token, k, K, in_p, in_k)
        g_lr = tl.sum(x * g_own, 1)
        tl.store(g_lr_ptr + token, g_lr.to(g_lr_ptr.dtype.element_ty), mask=in_p)
        g_memory *= keep[:, None, :]
        g_momentum *= eta[:, None, None]
        g_b, g_c, g_m = g_b * keep, g_c * keep, g_m * eta
        if BEFORE:
            g_memory, g_b, g_c = g_memory + to_memory, g_b + to_b, g_c + to_c
