"""What tokens read of a deep memory, forward and backward: parallel over chunks; `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.deep_keys import block, put_block
from kernels.deep_network import gelu, standard, through_norm
from kernels.tiles import load_line, load_tile, matmul, store_tile


@triton.jit
def _scores(query_ptr, key_ptr, t, c, kk, in_t, in_c, in_k, K: tl.constexpr, T, ACC):
    """q k^T, [queries, keys]."""
    q = load_tile(query_ptr, t, kk, K, in_t, in_k, T)
    k = load_tile(key_ptr, c, kk, K, in_c, in_k, T)
    return matmul(q, tl.trans(k), T, ACC)


@triton.jit
def reads_fwd(
    # in: queries, and queries and keys as factors; filters of every token, states, the key pass
    q_ptr, query_ptr, key_ptr, b_ptr, c_ptr, a_ptr, first_ptr, second_ptr, x_ptr, d1_ptr, d2_ptr,
    # in: the gradient to y, on the way back
    g_y_ptr,
    # out: y; on the way back: what leaves the activation and its slope, gradients, and what tokens
    # read of their own chunk's writes to either matrix
    y_ptr, slope_ptr, asked_ptr, g_y2_ptr, g_a_ptr, own_ptr, read_ptr, met_ptr,
    # sizes
    ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    BACK: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """The query pass; a program per chunk and block of its queries.

    Of a memory of one matrix x is given: the keys; and so is what is asked: the queries.
    """
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    t = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_c, in_k, in_t = c < C, kk < K, t < C
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    upper = at + (ALL if DEEP else 0)
    y2 = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
    scores = tl.zeros([BLOCK_Q, BLOCK_C], dtype=ACC)
    own = scores.to(T)
    if DEEP:
        seen = _scores(
            query_ptr + at * C * K, key_ptr + at * C * K, t, c, kk, in_t, in_c, in_k, K, T, ACC
        )
        own = (load_tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC) * seen).to(T)
        if BACK:
            store_tile(own_ptr + at * C * C, own, t, c, C, in_t, in_c)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        if DEEP:
            q = load_tile(query_ptr + at * C * K, t, kk, K, in_t, in_k, T)
            first = first_ptr + at * R
            w = block(first, kk, h, in_k, in_h, K, H, False, T)
            y1 = load_line(b_ptr + at * C, t, in_t, ACC)[:, None] * matmul(q, w, T, ACC)
            if MOMENTUM:
                w = block(first + K * H, kk, h, in_k, in_h, K, H, False, T)
                y1 += load_line(c_ptr + at * C, t, in_t, ACC)[:, None] * matmul(q, w, T, ACC)
            y1 -= matmul(own, load_tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
            asked, slope, _ = gelu(y1)
            if BACK:
                store_tile(slope_ptr + at * C * H, slope, t, h, H, in_t, in_h)
                store_tile(asked_ptr + at * C * H, asked, t, h, H, in_t, in_h)
        else:
            asked = load_tile(asked_ptr + at * C * H, t, h, H, in_t, in_h, ACC)
        x = load_tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T)
        scores += matmul(asked, tl.trans(x), T, ACC)
        second = second_ptr + at * R
        w = block(second, kk, h, in_k, in_h, K, H, True, T)
        by = load_line(b_ptr + upper * C, t, in_t, ACC)[:, None]
        y2 += matmul(by * asked, tl.trans(w), T, ACC)
        if MOMENTUM:
            w = block(second + K * H, kk, h, in_k, in_h, K, H, True, T)
            by = load_line(c_ptr + upper * C, t, in_t, ACC)[:, None]
            y2 += matmul(by * asked, tl.trans(w), T, ACC)
    weighed = load_tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC) * scores
    y2 -= matmul(weighed, load_tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T), T, ACC)
    hat, scale = y2, tl.sum(y2, 1)
    if NORM:
        hat, scale = standard(y2, in_k, K)
    if BACK:
        g = load_tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        if NORM:
            g = through_norm(hat, scale, g, in_k, K)
        store_tile(g_y2_ptr + at * C * K, g, t, kk, K, in_t, in_k)
        store_tile(read_ptr + at * C * C, weighed, t, c, C, in_t, in_c)
        d2 = load_tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        met = -matmul(g, tl.trans(d2), T, ACC)
        store_tile(g_a_ptr + upper * C * C, met * scores, t, c, C, in_t, in_c)
        met *= load_tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC)
        store_tile(met_ptr + at * C * C, met, t, c, C, in_t, in_c)
    else:
        if RESIDUAL:
            hat += load_tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        store_tile(y_ptr + at * C * K, hat, t, kk, K, in_t, in_k)


@triton.jit
def hidden_bwd(
    # in: as forward, and what the query pass left
    b_ptr, c_ptr, second_ptr, x_ptr, slope_ptr, asked_ptr, g_y2_ptr, own_ptr, read_ptr, met_ptr,
    # out: gradients; of x, d1 and d2 what comes from reading
    g_b_ptr, g_c_ptr, g_y1_ptr, from_x_ptr, from_d1_ptr, from_d2_ptr,
    # sizes
    ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """From the network's output back to its hidden channels; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    upper = at + (ALL if DEEP else 0)
    second = second_ptr + at * R
    read = load_tile(read_ptr + at * C * C, c, c, C, in_c, in_c, T)
    g = load_tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    store_tile(from_d2_ptr + at * C * K, -matmul(tl.trans(read), g, T, ACC), c, kk, K, in_c, in_k)
    g_b, g_c = tl.zeros([BLOCK_C], dtype=ACC), tl.zeros([BLOCK_C], dtype=ACC)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        met = load_tile(met_ptr + at * C * C, c, c, C, in_c, in_c, T)
        asked = load_tile(asked_ptr + at * C * H, c, h, H, in_c, in_h, T)
        store_tile(
            from_x_ptr + at * C * H, matmul(tl.trans(met), asked, T, ACC), c, h, H, in_c, in_h
        )
        g_y1 = matmul(met, load_tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
        g_y2 = load_tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        found = matmul(g_y2, block(second, kk, h, in_k, in_h, K, H, True, T), T, ACC)
        g_b += tl.sum(asked * found, 1)
        g_y1 += load_line(b_ptr + upper * C, c, in_c, ACC)[:, None] * found
        if MOMENTUM:
            found = matmul(g_y2, block(second + K * H, kk, h, in_k, in_h, K, H, True, T), T, ACC)
            g_c += tl.sum(asked * found, 1)
            g_y1 += load_line(c_ptr + upper * C, c, in_c, ACC)[:, None] * found
        if DEEP:
            g_y1 *= load_tile(slope_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            own = load_tile(own_ptr + at * C * C, c, c, C, in_c, in_c, T)
            store_tile(
                from_d1_ptr + at * C * H, -matmul(tl.trans(own), g_y1, T, ACC), c, h, H, in_c, in_h
            )
        store_tile(g_y1_ptr + at * C * H, g_y1, c, h, H, in_c, in_h)
    tl.store(g_b_ptr + upper * C + c, g_b, mask=in_c)
    if MOMENTUM:
        tl.store(g_c_ptr + upper * C + c, g_c, mask=in_c)


@triton.jit
def queries_bwd(
    # in: as forward, and the gradients to y and to what enters the activation
    query_ptr, key_ptr, b_ptr, c_ptr, a_ptr, first_ptr, d1_ptr, g_y_ptr, g_y1_ptr,
    # out: gradients, and those to the scores of keys
    g_q_ptr, g_b_ptr, g_c_ptr, g_a_ptr, met_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, RESIDUAL: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """From the first matrix back to the queries; a program per chunk and block of its queries."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    t = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_c, in_k, in_t = c < C, kk < K, t < C
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    met = tl.zeros([BLOCK_Q, BLOCK_C], dtype=ACC)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        g = load_tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
        met -= matmul(g, tl.trans(load_tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T)), T, ACC)
    seen = _scores(
        query_ptr + at * C * K, key_ptr + at * C * K, t, c, kk, in_t, in_c, in_k, K, T, ACC
    )
    store_tile(g_a_ptr + at * C * C, met * seen, t, c, C, in_t, in_c)
    met *= load_tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC)
    store_tile(met_ptr + at * C * C, met, t, c, C, in_t, in_c)
    g_q = matmul(met, load_tile(key_ptr + at * C * K, c, kk, K, in_c, in_k, T), T, ACC)
    if RESIDUAL:
        g_q += load_tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # what was read of the memory, then of the momentum
        found = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            g = load_tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
            w = block(first_ptr + at * R + part * K * H, kk, h, in_k, in_h, K, H, False, T)
            found += matmul(g, tl.trans(w), T, ACC)
        q = load_tile(query_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        weights, g_weights = b_ptr if part == 0 else c_ptr, g_b_ptr if part == 0 else g_c_ptr
        tl.store(g_weights + at * C + t, tl.sum(q * found, 1), mask=in_t)
        g_q += load_line(weights + at * C, t, in_t, ACC)[:, None] * found
    store_tile(g_q_ptr + at * C * K, g_q, t, kk, K, in_t, in_k)


@triton.jit
def memories_bwd(
    # in: queries and what is asked of the last matrix, as factors; filters, gradients
    query_ptr, asked_ptr, b_ptr, c_ptr, g_y1_ptr, g_y2_ptr,
    # out: what reading gives to the gradients of the states before every chunk
    g_first_ptr, g_second_ptr,
    # sizes
    ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens read of the states; a program per chunk and hidden block."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    in_c, in_k, in_h = c < C, kk < K, h < H
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    upper = at + (ALL if DEEP else 0)
    x = load_tile(asked_ptr + at * C * H, c, h, H, in_c, in_h, T)
    rows = tl.trans(load_tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T))
    found = matmul(rows, load_line(b_ptr + upper * C, c, in_c, ACC)[:, None] * x, T, ACC)
    put_block(g_second_ptr + at * R, found, kk, h, in_k, in_h, K, H, True)
    if MOMENTUM:
        found = matmul(rows, load_line(c_ptr + upper * C, c, in_c, ACC)[:, None] * x, T, ACC)
        put_block(g_second_ptr + at * R + K * H, found, kk, h, in_k, in_h, K, H, True)
    if DEEP:
        x = load_tile(g_y1_ptr + at * C * H, c, h, H, in_c, in_h, T)
        rows = tl.trans(load_tile(query_ptr + at * C * K, c, kk, K, in_c, in_k, T))
        found = matmul(rows, load_line(b_ptr + at * C, c, in_c, ACC)[:, None] * x, T, ACC)
        put_block(g_first_ptr + at * R, found, kk, h, in_k, in_h, K, H, False)
        if MOMENTUM:
            found = matmul(rows, load_line(c_ptr + at * C, c, in_c, ACC)[:, None] * x, T, ACC)
            put_block(g_first_ptr + at * R + K * H, found, kk, h, in_k, in_h, K, H, False)
