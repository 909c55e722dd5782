"""What is sequential over chunks in a deep memory's backward pass; the equations: `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _mm, _put, _tile
from kernels.deep_keys import block, put_block
from kernels.deep_network import bend_of_norm, error, through_norm


@triton.jit
def _unwrite(
    # gradients to a state after and, what reading gives, before the chunk; ends of the chunk
    after, before, ends_ptr,
    # what the key pass gives to the memory
    memory,
    kk, h, in_k, in_h, K: tl.constexpr, H: tl.constexpr, LAST: tl.constexpr,
    MOMENTUM: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """ends[0] gM + memory, and ends[1] gM + ends[2] gP, added to what is there."""
    memory += block(before, kk, h, in_k, in_h, K, H, LAST, ACC)
    later = block(after, kk, h, in_k, in_h, K, H, LAST, ACC)
    memory += tl.load(ends_ptr).to(ACC) * later
    if MOMENTUM:
        momentum = block(before + K * H, kk, h, in_k, in_h, K, H, LAST, ACC)
        momentum += tl.load(ends_ptr + 1).to(ACC) * later
        later = block(after + K * H, kk, h, in_k, in_h, K, H, LAST, ACC)
        momentum += tl.load(ends_ptr + 2).to(ACC) * later
        tl.debug_barrier()  # all has been read before it is written
        put_block(before + K * H, momentum, kk, h, in_k, in_h, K, H, LAST)
    else:
        tl.debug_barrier()
    put_block(before, memory, kk, h, in_k, in_h, K, H, LAST)


@triton.jit
def _unsignal(
    # gradient to the error signal of the last matrix; what enters the norm, tokens of a chunk
    g_d2, z2_ptr, k_ptr, v_ptr,
    # out
    g_v_ptr, g_z2_ptr,
    c, kk, in_c, in_k,
    K: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Through the slope of the squared error, and through the norm twice."""
    z2 = _tile(z2_ptr, c, kk, K, in_c, in_k, ACC)
    k = _tile(k_ptr, c, kk, K, in_c, in_k, ACC)
    v = _tile(v_ptr, c, kk, K, in_c, in_k, ACC)
    slope, hat, scale = error(z2, k, v, in_k, K, RESIDUAL, NORM)
    if NORM:
        g_z2 = bend_of_norm(hat, scale, g_d2, slope, in_k, K)
        g_f = 2.0 * through_norm(hat, scale, g_d2, in_k, K)
        g_z2 += through_norm(hat, scale, g_f, in_k, K)
    else:
        g_f = 2.0 * g_d2
        g_z2 = g_f
    _put(g_v_ptr, -g_f, c, kk, K, in_c, in_k)
    _put(g_z2_ptr, g_z2, c, kk, K, in_c, in_k)


@triton.jit
def states_bwd(
    # in: as forward, with keys as factors, and the key pass
    k_ptr, v_ptr, key_ptr, last_ptr, e_ptr, ends_ptr, second_ptr,
    x_ptr, slope_ptr, curve_ptr, z2_ptr, d2_ptr,
    # in: gradients from reading
    from_x_ptr, from_d1_ptr, from_d2_ptr,
    # in and out: gradients to the states before every chunk and after the last
    g_first_ptr, g_second_ptr,
    # out: what the bend gives to z1; gradients to what is d1 before the slope, to z1, z2 and v
    bent_ptr, g_u_ptr, g_z1_ptr, g_z2_ptr, g_v_ptr,
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
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    for back in tl.range(N, disable_licm=True):
        at = (N - 1 - back) * G + g
        upper = at + (N * G if DEEP else 0)
        second, g_second = second_ptr + at * R, g_second_ptr + (at + G) * R
        g_d2 = _tile(from_d2_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            if DEEP:
                g_first = g_first_ptr + (at + G) * R
                k = _tile(key_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                g_d1 = _tile(from_d1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                g_w = block(g_first, kk, h, in_k, in_h, K, H, False, T)
                g_d1 -= _line(last_ptr + at * C, c, in_c, ACC)[:, None] * _mm(k, g_w, T, ACC)
                if MOMENTUM:
                    g_w = block(g_first + K * H, kk, h, in_k, in_h, K, H, False, T)
                    g_d1 -= _line(e_ptr + at * C, c, in_c, ACC)[:, None] * _mm(k, g_w, T, ACC)
                bent = g_d1 * _tile(curve_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                _put(bent_ptr + at * C * H, bent, c, h, H, in_c, in_h)
                g_d1 *= _tile(slope_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                _put(g_u_ptr + at * C * H, g_d1, c, h, H, in_c, in_h)
                w2 = block(second, kk, h, in_k, in_h, K, H, True, T)
                g_d2 += _mm(g_d1, tl.trans(w2), T, ACC)
            x = _tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T)
            g_w = block(g_second, kk, h, in_k, in_h, K, H, True, T)
            by = _line(last_ptr + upper * C, c, in_c, ACC)[:, None]
            g_d2 -= _mm(by * x, tl.trans(g_w), T, ACC)
            if MOMENTUM:
                g_w = block(g_second + K * H, kk, h, in_k, in_h, K, H, True, T)
                by = _line(e_ptr + upper * C, c, in_c, ACC)[:, None]
                g_d2 -= _mm(by * x, tl.trans(g_w), T, ACC)
        _unsignal(
            g_d2, z2_ptr + at * C * K, k_ptr + at * C * K, v_ptr + at * C * K,
            g_v_ptr + at * C * K, g_z2_ptr + at * C * K,
            c, kk, in_c, in_k, K, RESIDUAL, NORM, ACC,
        )  # fmt: skip
        tl.debug_barrier()  # what follows reads it, bent and g_u by other threads
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
            g_z1 = _tile(from_x_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            g_w = block(g_second, kk, h, in_k, in_h, K, H, True, T)
            g_z1 -= _line(last_ptr + upper * C, c, in_c, ACC)[:, None] * _mm(d2, g_w, T, ACC)
            if MOMENTUM:
                g_w = block(g_second + K * H, kk, h, in_k, in_h, K, H, True, T)
                g_z1 -= _line(e_ptr + upper * C, c, in_c, ACC)[:, None] * _mm(d2, g_w, T, ACC)
            g_z2 = _tile(g_z2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
            g_z1 += _mm(g_z2, block(second, kk, h, in_k, in_h, K, H, True, T), T, ACC)
            if DEEP:
                g_z1 *= _tile(slope_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                g_z1 += _tile(bent_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
            _put(g_z1_ptr + at * C * H, g_z1, c, h, H, in_c, in_h)
            to_w = _mm(tl.trans(g_z2), _tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T), T, ACC)
            if DEEP:
                g_u = _tile(g_u_ptr + at * C * H, c, h, H, in_c, in_h, T)
                to_w += _mm(tl.trans(d2), g_u, T, ACC)
            _unwrite(
                g_second, g_second - G * R, ends_ptr + upper * 3, to_w,
                kk, h, in_k, in_h, K, H, True, MOMENTUM, ACC,
            )  # fmt: skip
            if DEEP:
                k = _tile(key_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                g_first = g_first_ptr + (at + G) * R
                _unwrite(
                    g_first, g_first - G * R, ends_ptr + at * 3,
                    _mm(tl.trans(k), g_z1, T, ACC),
                    kk, h, in_k, in_h, K, H, False, MOMENTUM, ACC,
                )  # fmt: skip
        tl.debug_barrier()  # the chunk before reads the gradients that this one has written
