"""What is sequential over chunks in a deep memory's backward pass, and what hangs on it."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _mm, _put, _tile
from kernels.deep_network import (
    act, act_bend, act_slope, bend_of_norm, error, through_norm,
)  # fmt: skip


@triton.jit
def _unwrite(
    # gradients to a block of a matrix after and before the chunk; momentum lies `half` further
    after, before, half, ends_ptr,
    # what else reached the memory, and what tokens read of the momentum
    memory, x, g, c_ptr, c, in_c,
    # the block
    rows, columns, stride, in_rows, in_columns,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """ends[0] gM + memory, and ends[1] gM + ends[2] gP + (c x)^T g."""
    later = _tile(after, rows, columns, stride, in_rows, in_columns, ACC)
    memory += tl.load(ends_ptr).to(ACC) * later
    _put(before, memory, rows, columns, stride, in_rows, in_columns)
    if MOMENTUM:
        momentum = tl.load(ends_ptr + 1).to(ACC) * later
        later = _tile(after + half, rows, columns, stride, in_rows, in_columns, ACC)
        momentum += tl.load(ends_ptr + 2).to(ACC) * later
        momentum += _mm(tl.trans(_line(c_ptr, c, in_c, ACC)[:, None] * x), g, T, ACC)
        _put(before + half, momentum, rows, columns, stride, in_rows, in_columns)


@triton.jit
def states_bwd(
    # in: as forward, and the key and query pass
    q_ptr, k_ptr, v_ptr, b_ptr, c_ptr, last_ptr, e_ptr, ends_ptr, second_ptr,
    z1_ptr, z2_ptr, d2_ptr, y1_ptr,
    # in: gradients from reading
    g_y1_ptr, g_y2_ptr, from_x2_ptr, from_d1_ptr, from_d2_ptr,
    # in and out: gradients to the states before every chunk and after the last
    g_first_ptr, g_second_ptr,
    # out: gradients to d1, z1, z2 and v
    g_d1_ptr, g_z1_ptr, g_z2_ptr, g_v_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """The chunks in reverse, blocks of hidden channels as in `keys_fwd`."""
    g = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R1: tl.constexpr = 2 * K if MOMENTUM else K
    R2: tl.constexpr = 2 * H if MOMENTUM else H
    for back in range(N):
        at = (N - 1 - back) * G + g
        upper = at + (N * G if DEEP else 0)
        second, g_second = second_ptr + at * R2 * K, g_second_ptr + (at + G) * R2 * K
        g_d2 = _tile(from_d2_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        for i in range(tl.cdiv(H, BLOCK_H)):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            if DEEP:
                g_first = g_first_ptr + (at + G) * R1 * H
                k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                g_d1 = _tile(from_d1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                by = _line(last_ptr + at * C, c, in_c, ACC)[:, None]
                g_d1 -= by * _mm(k, _tile(g_first, kk, h, H, in_k, in_h, T), T, ACC)
                if MOMENTUM:
                    by = _line(e_ptr + at * C, c, in_c, ACC)[:, None]
                    g_d1 -= by * _mm(k, _tile(g_first + K * H, kk, h, H, in_k, in_h, T), T, ACC)
                _put(g_d1_ptr + at * C * H, g_d1, c, h, H, in_c, in_h)
                z1 = _tile(z1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                w2 = _tile(second, h, kk, K, in_h, in_k, T)
                g_d2 += _mm(g_d1 * act_slope(z1), w2, T, ACC)
            else:
                z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
            x = act(z1, DEEP)
            by = _line(last_ptr + upper * C, c, in_c, ACC)[:, None]
            g_d2 -= _mm(by * x, _tile(g_second, h, kk, K, in_h, in_k, T), T, ACC)
            if MOMENTUM:
                by = _line(e_ptr + upper * C, c, in_c, ACC)[:, None]
                g_d2 -= _mm(by * x, _tile(g_second + H * K, h, kk, K, in_h, in_k, T), T, ACC)
        z2 = _tile(z2_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        v = _tile(v_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        slope, hat, scale = error(z2, k, v, in_k, K, RESIDUAL, NORM)
        if NORM:
            g_z2 = bend_of_norm(hat, scale, g_d2, slope, in_k, K)
            g_f = 2.0 * through_norm(hat, scale, g_d2, in_k, K)
            g_z2 += through_norm(hat, scale, g_f, in_k, K)
        else:
            g_f = 2.0 * g_d2
            g_z2 = g_f
        _put(g_v_ptr + at * C * K, -g_f, c, kk, K, in_c, in_k)
        _put(g_z2_ptr + at * C * K, g_z2, c, kk, K, in_c, in_k)
        tl.debug_barrier()  # what follows reads it, and g_d1, by other threads
        for i in range(tl.cdiv(H, BLOCK_H)):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
            w2 = _tile(second, h, kk, K, in_h, in_k, T)
            g_z2 = _tile(g_z2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
            g_z1 = _tile(from_x2_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            g_z1 += _mm(g_z2, tl.trans(w2), T, ACC)
            by = _line(last_ptr + upper * C, c, in_c, ACC)[:, None]
            g_w2 = _tile(g_second, h, kk, K, in_h, in_k, T)
            g_z1 -= by * _mm(d2, tl.trans(g_w2), T, ACC)
            if MOMENTUM:
                by = _line(e_ptr + upper * C, c, in_c, ACC)[:, None]
                g_w2 = _tile(g_second + H * K, h, kk, K, in_h, in_k, T)
                g_z1 -= by * _mm(d2, tl.trans(g_w2), T, ACC)
            if DEEP:
                z1 = _tile(z1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                y1 = _tile(y1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                g_d1 = _tile(g_d1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                g_z1 *= act_slope(z1)
                g_z1 += g_d1 * _mm(d2, tl.trans(w2), T, ACC) * act_bend(z1)
                to_w2 = _mm(tl.trans(g_d1 * act_slope(z1)), d2, T, ACC)
            else:
                z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
                y1 = _tile(q_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
                to_w2 = tl.zeros([BLOCK_H, BLOCK_K], dtype=ACC)
            _put(g_z1_ptr + at * C * H, g_z1, c, h, H, in_c, in_h)
            to_w2 += _mm(tl.trans(act(z1, DEEP)), g_z2, T, ACC)
            x = act(y1, DEEP)
            g_y2 = _tile(g_y2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
            by = _line(b_ptr + upper * C, c, in_c, ACC)[:, None]
            to_w2 += _mm(tl.trans(by * x), g_y2, T, ACC)
            read_by = c_ptr
            if MOMENTUM:
                read_by = c_ptr + upper * C
            _unwrite(
                g_second, g_second - G * R2 * K, H * K, ends_ptr + upper * 3,
                to_w2, x, g_y2, read_by, c, in_c, h, kk, K, in_h, in_k, MOMENTUM, T, ACC,
            )  # fmt: skip
            if DEEP:
                k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                q = _tile(q_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                g_y1 = _tile(g_y1_ptr + at * C * H, c, h, H, in_c, in_h, T)
                by = _line(b_ptr + at * C, c, in_c, ACC)[:, None]
                to_w1 = _mm(tl.trans(k), g_z1, T, ACC)
                to_w1 += _mm(tl.trans(by * q), g_y1, T, ACC)
                if MOMENTUM:
                    read_by = c_ptr + at * C
                g_first = g_first_ptr + (at + G) * R1 * H
                _unwrite(
                    g_first, g_first - G * R1 * H, K * H, ends_ptr + at * 3,
                    to_w1, q, g_y1, read_by, c, in_c, kk, h, H, in_k, in_h, MOMENTUM, T, ACC,
                )  # fmt: skip
        tl.debug_barrier()  # the chunk before reads the gradients that this one has written


@triton.jit
def keys_bwd(
    # in: as forward, and the gradients that other kernels found
    q_ptr, k_ptr, last_ptr, e_ptr, first_ptr, d1_ptr, g_first_ptr, g_z1_ptr, g_v_ptr, met_ptr,
    # out: gradients
    g_k_ptr, g_last_ptr, g_e_ptr,
    # sizes
    G, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, RESIDUAL: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """From the first matrix back to the keys; a program per chunk and block of its keys."""
    at = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    t = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_c, in_k, in_t = c < C, kk < K, t < C
    R1: tl.constexpr = 2 * K if MOMENTUM else K
    first, g_first = first_ptr + at * R1 * H, g_first_ptr + (at + G) * R1 * H
    met = _tile(met_ptr + at * C * C, c, t, C, in_c, in_t, T)
    q = _tile(q_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    g_k = _mm(tl.trans(met), q, T, ACC)
    if RESIDUAL:
        g_k -= _tile(g_v_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
    for i in range(tl.cdiv(H, BLOCK_H)):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        g_z1 = _tile(g_z1_ptr + at * C * H, t, h, H, in_t, in_h, T)
        g_k += _mm(g_z1, tl.trans(_tile(first, kk, h, H, in_k, in_h, T)), T, ACC)
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # what was written to the memory, then to the momentum
        written = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(H, BLOCK_H)):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            d1 = _tile(d1_ptr + at * C * H, t, h, H, in_t, in_h, T)
            later = _tile(g_first + part * K * H, kk, h, H, in_k, in_h, T)
            written += _mm(d1, tl.trans(later), T, ACC)
        k = _tile(k_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
        weights = last_ptr if part == 0 else e_ptr
        g_weights = g_last_ptr if part == 0 else g_e_ptr
        tl.store(g_weights + at * C + t, -tl.sum(k * written, 1), mask=in_t)
        g_k -= _line(weights + at * C, t, in_t, ACC)[:, None] * written
    _put(g_k_ptr + at * C * K, g_k, t, kk, K, in_t, in_k)


@triton.jit
def weights_bwd(
    # in: what enters the last matrix, error signals, gradients to states after every chunk
    z1_ptr, d2_ptr, g_second_ptr,
    # out: gradients, of the last matrix
    g_last_ptr, g_e_ptr,
    # sizes
    ALL, G, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """Gradients to the weights that tokens write with; a program per chunk and block of tokens."""
    at = tl.program_id(0).to(tl.int64)
    kk, t = tl.arange(0, BLOCK_K), tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_k, in_t = kk < K, t < C
    R2: tl.constexpr = 2 * H if MOMENTUM else H
    g_second = g_second_ptr + (at + G) * R2 * K
    upper = at + (ALL if DEEP else 0)
    g_last, g_e = tl.zeros([BLOCK_Q], dtype=ACC), tl.zeros([BLOCK_Q], dtype=ACC)
    for i in range(tl.cdiv(H, BLOCK_H)):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        x = act(_tile(z1_ptr + at * C * H, t, h, H, in_t, in_h, ACC), DEEP)
        d2 = _tile(d2_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        g = _tile(g_second, h, kk, K, in_h, in_k, T)
        g_last -= tl.sum(x * _mm(d2, tl.trans(g), T, ACC), 1)
        if MOMENTUM:
            g = _tile(g_second + H * K, h, kk, K, in_h, in_k, T)
            g_e -= tl.sum(x * _mm(d2, tl.trans(g), T, ACC), 1)
    tl.store(g_last_ptr + upper * C + t, g_last, mask=in_t)
    if MOMENTUM:
        tl.store(g_e_ptr + upper * C + t, g_e, mask=in_t)


@triton.jit
def ends_bwd(
    # in: states of one matrix before every chunk, and the gradients to those after it
    states_ptr, g_states_ptr,
    # out: gradients to `ends` of that matrix
    g_ends_ptr,
    # sizes
    G, SIZE: tl.constexpr, MOMENTUM: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sums of products of states with gradients; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    rows: tl.constexpr = 2 * SIZE if MOMENTUM else SIZE
    state, g_state = states_ptr + at * rows, g_states_ptr + (at + G) * rows
    kept, lent, slowed = (
        tl.zeros([BLOCK], dtype=ACC), tl.zeros([BLOCK], dtype=ACC), tl.zeros([BLOCK], dtype=ACC)
    )  # fmt: skip
    for i in range(tl.cdiv(SIZE, BLOCK)):
        at_i = i * BLOCK + tl.arange(0, BLOCK)
        inside = at_i < SIZE
        g_memory = _line(g_state, at_i, inside, ACC)
        kept += g_memory * _line(state, at_i, inside, ACC)
        if MOMENTUM:
            momentum = _line(state + SIZE, at_i, inside, ACC)
            lent += g_memory * momentum
            slowed += _line(g_state + SIZE, at_i, inside, ACC) * momentum
    tl.store(g_ends_ptr + at * 3, tl.sum(kept, 0))
    tl.store(g_ends_ptr + at * 3 + 1, tl.sum(lent, 0))
    tl.store(g_ends_ptr + at * 3 + 2, tl.sum(slowed, 0))
