"""What tokens read of a deep memory, forward and backward: parallel over chunks; `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _mm, _put, _tile
from kernels.deep_keys import block, put_block
from kernels.deep_network import gelu, standard, through_norm


@triton.jit
def _scores(query_ptr, key_ptr, t, c, kk, in_t, in_c, in_k, K: tl.constexpr, T, ACC):
    """q k^T, [queries, keys]."""
    q = _tile(query_ptr, t, kk, K, in_t, in_k, T)
    k = _tile(key_ptr, c, kk, K, in_c, in_k, T)
    return _mm(q, tl.trans(k), T, ACC)


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
        own = (_tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC) * seen).to(T)
        if BACK:
            _put(own_ptr + at * C * C, own, t, c, C, in_t, in_c)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        if DEEP:
            q = _tile(query_ptr + at * C * K, t, kk, K, in_t, in_k, T)
            first = first_ptr + at * R
            w = block(first, kk, h, in_k, in_h, K, H, False, T)
            y1 = _line(b_ptr + at * C, t, in_t, ACC)[:, None] * _mm(q, w, T, ACC)
            if MOMENTUM:
                w = block(first + K * H, kk, h, in_k, in_h, K, H, False, T)
                y1 += _line(c_ptr + at * C, t, in_t, ACC)[:, None] * _mm(q, w, T, ACC)
            y1 -= _mm(own, _tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
            asked, slope, _ = gelu(y1)
            if BACK:
                _put(slope_ptr + at * C * H, slope, t, h, H, in_t, in_h)
                _put(asked_ptr + at * C * H, asked, t, h, H, in_t, in_h)
        else:
            asked = _tile(asked_ptr + at * C * H, t, h, H, in_t, in_h, ACC)
        x = _tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T)
        scores += _mm(asked, tl.trans(x), T, ACC)
        second = second_ptr + at * R
        w = block(second, kk, h, in_k, in_h, K, H, True, T)
        by = _line(b_ptr + upper * C, t, in_t, ACC)[:, None]
        y2 += _mm(by * asked, tl.trans(w), T, ACC)
        if MOMENTUM:
            w = block(second + K * H, kk, h, in_k, in_h, K, H, True, T)
            by = _line(c_ptr + upper * C, t, in_t, ACC)[:, None]
            y2 += _mm(by * asked, tl.trans(w), T, ACC)
    weighed = _tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC) * scores
    y2 -= _mm(weighed, _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T), T, ACC)
    hat, scale = y2, tl.sum(y2, 1)
    if NORM:
        hat, scale = standard(y2, in_k, K)
    if BACK:
        g = _tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        if NORM:
            g = through_norm(hat, scale, g, in_k, K)
        _put(g_y2_ptr + at * C * K, g, t, kk, K, in_t, in_k)
        _put(read_ptr + at * C * C, weighed, t, c, C, in_t, in_c)
        d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        met = -_mm(g, tl.trans(d2), T, ACC)
        _put(g_a_ptr + upper * C * C, met * scores, t, c, C, in_t, in_c)
        met *= _tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC)
        _put(met_ptr + at * C * C, met, t, c, C, in_t, in_c)
    else:
        if RESIDUAL:
            hat += _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        _put(y_ptr + at * C * K, hat, t, kk, K, in_t, in_k)


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
    read = _tile(read_ptr + at * C * C, c, c, C, in_c, in_c, T)
    g = _tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    _put(from_d2_ptr + at * C * K, -_mm(tl.trans(read), g, T, ACC), c, kk, K, in_c, in_k)
    g_b, g_c = tl.zeros([BLOCK_C], dtype=ACC), tl.zeros([BLOCK_C], dtype=ACC)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        met = _tile(met_ptr + at * C * C, c, c, C, in_c, in_c, T)
        asked = _tile(asked_ptr + at * C * H, c, h, H, in_c, in_h, T)
        _put(from_x_ptr + at * C * H, _mm(tl.trans(met), asked, T, ACC), c, h, H, in_c, in_h)
        g_y1 = _mm(met, _tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
        g_y2 = _tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        found = _mm(g_y2, block(second, kk, h, in_k, in_h, K, H, True, T), T, ACC)
        g_b += tl.sum(asked * found, 1)
        g_y1 += _line(b_ptr + upper * C, c, in_c, ACC)[:, None] * found
        if MOMENTUM:
            found = _mm(g_y2, block(second + K * H, kk, h, in_k, in_h, K, H, True, T), T, ACC)
            g_c += tl.sum(asked * found, 1)
            g_y1 += _line(c_ptr + upper * C, c, in_c, ACC)[:, None] * found
        if DEEP:
            g_y1 *= _tile(slope_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            own = _tile(own_ptr + at * C * C, c, c, C, in_c, in_c, T)
            _put(from_d1_ptr + at * C * H, -_mm(tl.trans(own), g_y1, T, ACC), c, h, H, in_c, in_h)
        _put(g_y1_ptr + at * C * H, g_y1, c, h, H, in_c, in_h)
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
        g = _tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
        met -= _mm(g, tl.trans(_tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T)), T, ACC)
    seen = _scores(
        query_ptr + at * C * K, key_ptr + at * C * K, t, c, kk, in_t, in_c, in_k, K, T, ACC
    )
    _put(g_a_ptr + at * C * C, met * seen, t, c, C, in_t, in_c)
    met *= _tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC)
    _put(met_ptr + at * C * C, met, t, c, C, in_t, in_c)
    g_q = _mm(met, _tile(key_ptr + at * C * K, c, kk, K, in_c, in_k, T), T, ACC)
    if RESIDUAL:
        g_q += _tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # what was read of the memory, then of the momentum
        found = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            g = _tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
            w = block(first_ptr + at * R + part * K * H, kk, h, in_k, in_h, K, H, False, T)
            found += _mm(g, tl.trans(w), T, ACC)
        q = _tile(query_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        weights, g_weights = b_ptr if part == 0 else c_ptr, g_b_ptr if part == 0 else g_c_ptr
        tl.store(g_weights + at * C + t, tl.sum(q * found, 1), mask=in_t)
        g_q += _line(weights + at * C, t, in_t, ACC)[:, None] * found
    _put(g_q_ptr + at * C * K, g_q, t, kk, K, in_t, in_k)


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
    x = _tile(asked_ptr + at * C * H, c, h, H, in_c, in_h, T)
    rows = tl.trans(_tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T))
    found = _mm(rows, _line(b_ptr + upper * C, c, in_c, ACC)[:, None] * x, T, ACC)
    put_block(g_second_ptr + at * R, found, kk, h, in_k, in_h, K, H, True)
    if MOMENTUM:
        found = _mm(rows, _line(c_ptr + upper * C, c, in_c, ACC)[:, None] * x, T, ACC)
        put_block(g_second_ptr + at * R + K * H, found, kk, h, in_k, in_h, K, H, True)
    if DEEP:
        x = _tile(g_y1_ptr + at * C * H, c, h, H, in_c, in_h, T)
        rows = tl.trans(_tile(query_ptr + at * C * K, c, kk, K, in_c, in_k, T))
        found = _mm(rows, _line(b_ptr + at * C, c, in_c, ACC)[:, None] * x, T, ACC)
        put_block(g_first_ptr + at * R, found, kk, h, in_k, in_h, K, H, False)
        if MOMENTUM:
            found = _mm(rows, _line(c_ptr + at * C, c, in_c, ACC)[:, None] * x, T, ACC)
            put_block(g_first_ptr + at * R + K * H, found, kk, h, in_k, in_h, K, H, False)
