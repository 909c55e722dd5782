"""What tokens read of a deep memory, forward and backward: parallel over chunks; `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _mm, _put, _tile
from kernels.deep_network import act, act_slope, standard, through_norm


@triton.jit
def reads_fwd(
    # in: queries, keys, the filters of every token, states before every chunk, the key pass
    q_ptr, k_ptr, b_ptr, c_ptr, a_ptr, first_ptr, second_ptr, z1_ptr, d1_ptr, d2_ptr,
    # in: the gradient to y, on the way back
    g_y_ptr,
    # out: y; on the way back what enters the activation, gradients, and scores with both weights
    y_ptr, y1_ptr, g_y2_ptr, g_a_ptr, read_ptr, met_ptr,
    # sizes
    ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    BACK: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """The query pass; a program per chunk and block of its queries."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    t = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_c, in_k, in_t = c < C, kk < K, t < C
    R1: tl.constexpr = 2 * K if MOMENTUM else K
    R2: tl.constexpr = 2 * H if MOMENTUM else H
    upper = at + (ALL if DEEP else 0)
    second = second_ptr + at * R2 * K
    y2 = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
    scores = tl.zeros([BLOCK_Q, BLOCK_C], dtype=ACC)
    own = scores.to(T)
    if DEEP:
        q = _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        a = _tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC)
        own = (a * _mm(q, tl.trans(k), T, ACC)).to(T)
    for i in range(tl.cdiv(H, BLOCK_H)):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        if DEEP:
            q = _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, T)
            first = first_ptr + at * R1 * H
            b = _line(b_ptr + at * C, t, in_t, ACC)[:, None]
            y1 = b * _mm(q, _tile(first, kk, h, H, in_k, in_h, T), T, ACC)
            if MOMENTUM:
                b = _line(c_ptr + at * C, t, in_t, ACC)[:, None]
                y1 += b * _mm(q, _tile(first + K * H, kk, h, H, in_k, in_h, T), T, ACC)
            y1 -= _mm(own, _tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
            if BACK:
                _put(y1_ptr + at * C * H, y1, t, h, H, in_t, in_h)
            z1 = _tile(z1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
        else:
            y1 = _tile(q_ptr + at * C * K, t, h, K, in_t, in_h, ACC)
            z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
        x = act(y1, DEEP)
        scores += _mm(x, tl.trans(act(z1, DEEP)), T, ACC)
        b = _line(b_ptr + upper * C, t, in_t, ACC)[:, None]
        y2 += _mm(b * x, _tile(second, h, kk, K, in_h, in_k, T), T, ACC)
        if MOMENTUM:
            b = _line(c_ptr + upper * C, t, in_t, ACC)[:, None]
            y2 += _mm(b * x, _tile(second + H * K, h, kk, K, in_h, in_k, T), T, ACC)
    a = _tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC)
    d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    y2 -= _mm(a * scores, d2, T, ACC)
    hat, scale = y2, tl.sum(y2, 1)
    if NORM:
        hat, scale = standard(y2, in_k, K)
    if BACK:
        g_y = _tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        if NORM:
            g_y = through_norm(hat, scale, g_y, in_k, K)
        _put(g_y2_ptr + at * C * K, g_y, t, kk, K, in_t, in_k)
        _put(read_ptr + at * C * C, a * scores, t, c, C, in_t, in_c)
        d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        met = -_mm(g_y, tl.trans(d2), T, ACC)
        _put(g_a_ptr + upper * C * C, met * scores, t, c, C, in_t, in_c)
        a = _tile(a_ptr + upper * C * C, t, c, C, in_t, in_c, ACC)
        _put(met_ptr + at * C * C, a * met, t, c, C, in_t, in_c)
    else:
        if RESIDUAL:
            hat += _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        _put(y_ptr + at * C * K, hat, t, kk, K, in_t, in_k)


@triton.jit
def hidden_bwd(
    # in: as forward, and what the query pass left
    q_ptr, k_ptr, b_ptr, c_ptr, a_ptr, second_ptr, z1_ptr, y1_ptr, g_y2_ptr, read_ptr, met_ptr,
    # out: gradients; of x2, d1 and d2 what comes from reading
    g_b_ptr, g_c_ptr, g_y1_ptr, from_x2_ptr, from_d1_ptr, from_d2_ptr,
    # sizes
    ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """From the network's output back to its hidden channels; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R2: tl.constexpr = 2 * H if MOMENTUM else H
    upper = at + (ALL if DEEP else 0)
    second = second_ptr + at * R2 * K
    read = _tile(read_ptr + at * C * C, c, c, C, in_c, in_c, T)
    g_y2 = _tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    _put(from_d2_ptr + at * C * K, -_mm(tl.trans(read), g_y2, T, ACC), c, kk, K, in_c, in_k)
    own = read
    if DEEP:
        q = _tile(q_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        a = _tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
        own = (a * _mm(q, tl.trans(k), T, ACC)).to(T)
    g_b, g_c = tl.zeros([BLOCK_C], dtype=ACC), tl.zeros([BLOCK_C], dtype=ACC)
    for i in range(tl.cdiv(H, BLOCK_H)):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        if DEEP:
            y1 = _tile(y1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            z1 = _tile(z1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
        else:
            y1 = _tile(q_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
            z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
        x = act(y1, DEEP)
        met = _tile(met_ptr + at * C * C, c, c, C, in_c, in_c, T)
        _put(from_x2_ptr + at * C * H, _mm(tl.trans(met), x, T, ACC), c, h, H, in_c, in_h)
        g_y2 = _tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
        asked = _mm(g_y2, tl.trans(_tile(second, h, kk, K, in_h, in_k, T)), T, ACC)
        g_b += tl.sum(x * asked, 1)
        g = _mm(met, act(z1, DEEP), T, ACC)
        g += _line(b_ptr + upper * C, c, in_c, ACC)[:, None] * asked
        if MOMENTUM:
            asked = _mm(g_y2, tl.trans(_tile(second + H * K, h, kk, K, in_h, in_k, T)), T, ACC)
            g_c += tl.sum(x * asked, 1)
            g += _line(c_ptr + upper * C, c, in_c, ACC)[:, None] * asked
        if DEEP:
            g *= act_slope(y1)
            _put(from_d1_ptr + at * C * H, -_mm(tl.trans(own), g, T, ACC), c, h, H, in_c, in_h)
        _put(g_y1_ptr + at * C * H, g, c, h, H, in_c, in_h)
    tl.store(g_b_ptr + upper * C + c, g_b, mask=in_c)
    if MOMENTUM:
        tl.store(g_c_ptr + upper * C + c, g_c, mask=in_c)


@triton.jit
def queries_bwd(
    # in: as forward, and the gradients to y and to what enters the activation
    q_ptr, k_ptr, b_ptr, c_ptr, a_ptr, first_ptr, d1_ptr, g_y_ptr, g_y1_ptr,
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
    R1: tl.constexpr = 2 * K if MOMENTUM else K
    first = first_ptr + at * R1 * H
    met = tl.zeros([BLOCK_Q, BLOCK_C], dtype=ACC)
    asked = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
    for i in range(tl.cdiv(H, BLOCK_H)):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        g = _tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
        met -= _mm(g, tl.trans(_tile(d1_ptr + at * C * H, c, h, H, in_c, in_h, T)), T, ACC)
        asked += _mm(g, tl.trans(_tile(first, kk, h, H, in_k, in_h, T)), T, ACC)
    q = _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, T)
    tl.store(g_b_ptr + at * C + t, tl.sum(q * asked, 1), mask=in_t)
    g_q = _line(b_ptr + at * C, t, in_t, ACC)[:, None] * asked
    if RESIDUAL:
        g_q += _tile(g_y_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
    k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    _put(g_a_ptr + at * C * C, met * _mm(q, tl.trans(k), T, ACC), t, c, C, in_t, in_c)
    met *= _tile(a_ptr + at * C * C, t, c, C, in_t, in_c, ACC)
    _put(met_ptr + at * C * C, met, t, c, C, in_t, in_c)
    k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    g_q += _mm(met, k, T, ACC)
    if MOMENTUM:
        asked = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(H, BLOCK_H)):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            g = _tile(g_y1_ptr + at * C * H, t, h, H, in_t, in_h, T)
            asked += _mm(g, tl.trans(_tile(first + K * H, kk, h, H, in_k, in_h, T)), T, ACC)
        q = _tile(q_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        tl.store(g_c_ptr + at * C + t, tl.sum(q * asked, 1), mask=in_t)
        g_q += _line(c_ptr + at * C, t, in_t, ACC)[:, None] * asked
    _put(g_q_ptr + at * C * K, g_q, t, kk, K, in_t, in_k)
