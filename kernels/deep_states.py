"""What is sequential over chunks in a deep memory's backward pass; the equations: `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.deep_keys import FEW, block, put_block
from kernels.deep_network import bend_of_norm, error, through_norm
from kernels.tiles import load_line, load_tile, matmul, store_tile


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
def _unsignals(
    # gradients to the error signals of the last matrix; what enters the norm, tokens of a chunk
    g_d2_ptr, z2_ptr, k_ptr, v_ptr,
    # out
    g_v_ptr, g_z2_ptr,
    kk, in_k, C: tl.constexpr, K: tl.constexpr,
    RESIDUAL: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Through the slope of the error and twice through the norm, a few tokens at a time."""
    for i in tl.range(tl.cdiv(C, FEW), disable_licm=True):
        c = i * FEW + tl.arange(0, FEW)
        in_c = c < C
        g_d2 = load_tile(g_d2_ptr, c, kk, K, in_c, in_k, ACC)
        z2 = load_tile(z2_ptr, c, kk, K, in_c, in_k, ACC)
        k = load_tile(k_ptr, c, kk, K, in_c, in_k, ACC)
        v = load_tile(v_ptr, c, kk, K, in_c, in_k, ACC)
        slope, hat, scale = error(z2, k, v, in_k, K, RESIDUAL, NORM)
        if NORM:
            g_z2 = bend_of_norm(hat, scale, g_d2, slope, in_k, K)
            g_f = 2.0 * through_norm(hat, scale, g_d2, in_k, K)
            g_z2 += through_norm(hat, scale, g_f, in_k, K)
        else:
            g_f = 2.0 * g_d2
            g_z2 = g_f
        store_tile(g_v_ptr, -g_f, c, kk, K, in_c, in_k)
        store_tile(g_z2_ptr, g_z2, c, kk, K, in_c, in_k)


@triton.jit
def _to_d1(
    # in: keys, their weights, gradients to the state after the chunk and from reading
    key_ptr, last_ptr, e_ptr, g_first_ptr, from_d1_ptr, slope_ptr, curve_ptr,
    # out
    bent_ptr, g_u_ptr,
    kk, in_k, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_H: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """gD1 times the slope, and times what the bend makes of it."""
    for r in tl.range(tl.cdiv(C, ROWS), disable_licm=True):
        t = r * ROWS + tl.arange(0, ROWS)
        in_t = t < C
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            k = load_tile(key_ptr, t, kk, K, in_t, in_k, T)
            g_d1 = load_tile(from_d1_ptr, t, h, H, in_t, in_h, ACC)
            g_w = block(g_first_ptr, kk, h, in_k, in_h, K, H, False, T)
            g_d1 -= load_line(last_ptr, t, in_t, ACC)[:, None] * matmul(k, g_w, T, ACC)
            if MOMENTUM:
                g_w = block(g_first_ptr + K * H, kk, h, in_k, in_h, K, H, False, T)
                g_d1 -= load_line(e_ptr, t, in_t, ACC)[:, None] * matmul(k, g_w, T, ACC)
            bent = g_d1 * load_tile(curve_ptr, t, h, H, in_t, in_h, ACC)
            store_tile(bent_ptr, bent, t, h, H, in_t, in_h)
            g_d1 *= load_tile(slope_ptr, t, h, H, in_t, in_h, ACC)
            store_tile(g_u_ptr, g_d1, t, h, H, in_t, in_h)
    tl.debug_barrier()  # what follows reads by other threads what this has written


@triton.jit
def _to_d2(
    # in: the state, tokens with their weights, gradients to the state after and from reading
    second_ptr, x_ptr, last_ptr, e_ptr, g_second_ptr, from_d2_ptr, g_u_ptr,
    # out
    g_d2_ptr,
    kk, in_k, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_H: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """gD2: from reading, from writing, and from what it gave to D1."""
    for r in tl.range(tl.cdiv(C, ROWS), disable_licm=True):
        t = r * ROWS + tl.arange(0, ROWS)
        in_t = t < C
        g_d2 = load_tile(from_d2_ptr, t, kk, K, in_t, in_k, ACC)
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            if DEEP:
                g_u = load_tile(g_u_ptr, t, h, H, in_t, in_h, T)
                w2 = block(second_ptr, kk, h, in_k, in_h, K, H, True, T)
                g_d2 += matmul(g_u, tl.trans(w2), T, ACC)
            x = load_tile(x_ptr, t, h, H, in_t, in_h, T)
            g_w = block(g_second_ptr, kk, h, in_k, in_h, K, H, True, T)
            g_d2 -= matmul(load_line(last_ptr, t, in_t, ACC)[:, None] * x, tl.trans(g_w), T, ACC)
            if MOMENTUM:
                g_w = block(g_second_ptr + K * H, kk, h, in_k, in_h, K, H, True, T)
                g_d2 -= matmul(load_line(e_ptr, t, in_t, ACC)[:, None] * x, tl.trans(g_w), T, ACC)
        store_tile(g_d2_ptr, g_d2, t, kk, K, in_t, in_k)
    tl.debug_barrier()


@triton.jit
def _to_z1(
    # in: the state, error signals with their weights, gradients
    second_ptr, d2_ptr, last_ptr, e_ptr, g_second_ptr, from_x_ptr, g_z2_ptr, slope_ptr, bent_ptr,
    # out
    g_z1_ptr,
    kk, in_k, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_H: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """gX, and through the activation gZ1."""
    for r in tl.range(tl.cdiv(C, ROWS), disable_licm=True):
        t = r * ROWS + tl.arange(0, ROWS)
        in_t = t < C
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            d2 = load_tile(d2_ptr, t, kk, K, in_t, in_k, T)
            g_z1 = load_tile(from_x_ptr, t, h, H, in_t, in_h, ACC)
            g_w = block(g_second_ptr, kk, h, in_k, in_h, K, H, True, T)
            g_z1 -= load_line(last_ptr, t, in_t, ACC)[:, None] * matmul(d2, g_w, T, ACC)
            if MOMENTUM:
                g_w = block(g_second_ptr + K * H, kk, h, in_k, in_h, K, H, True, T)
                g_z1 -= load_line(e_ptr, t, in_t, ACC)[:, None] * matmul(d2, g_w, T, ACC)
            g_z2 = load_tile(g_z2_ptr, t, kk, K, in_t, in_k, T)
            g_z1 += matmul(g_z2, block(second_ptr, kk, h, in_k, in_h, K, H, True, T), T, ACC)
            if DEEP:
                g_z1 *= load_tile(slope_ptr, t, h, H, in_t, in_h, ACC)
                g_z1 += load_tile(bent_ptr, t, h, H, in_t, in_h, ACC)
            store_tile(g_z1_ptr, g_z1, t, h, H, in_t, in_h)
    tl.debug_barrier()


@triton.jit
def _to_states(
    # gradients to a state after and before the chunk, ends of the chunk
    after_ptr, before_ptr, ends_ptr,
    # factors of what the key pass gives to it: left^T right, and more where there is more
    left_ptr, right_ptr, more_left_ptr, more_right_ptr,
    c, kk, in_c, in_k, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr, LAST: tl.constexpr,
    MORE: tl.constexpr, MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_H: tl.constexpr,
):  # fmt: skip
    """gW and gS before the chunk."""
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        rows = tl.trans(load_tile(left_ptr, c, kk, K, in_c, in_k, T))
        found = matmul(rows, load_tile(right_ptr, c, h, H, in_c, in_h, T), T, ACC)
        if MORE:
            rows = tl.trans(load_tile(more_left_ptr, c, kk, K, in_c, in_k, T))
            found += matmul(rows, load_tile(more_right_ptr, c, h, H, in_c, in_h, T), T, ACC)
        _unwrite(
            after_ptr, before_ptr, ends_ptr, found,
            kk, h, in_k, in_h, K, H, LAST, MOMENTUM, ACC,
        )  # fmt: skip


@triton.jit
def states_bwd(
    # in: as forward, with keys as factors, and the key pass
    k_ptr, v_ptr, key_ptr, last_ptr, e_ptr, ends_ptr, second_ptr,
    x_ptr, slope_ptr, curve_ptr, z2_ptr, d2_ptr,
    # in: gradients from reading
    from_x_ptr, from_d1_ptr, from_d2_ptr,
    # in and out: gradients to the states before every chunk and after the last
    g_first_ptr, g_second_ptr,
    # out: what the bend gives to z1; gradients to what is d1 before the slope,
    # to d2, z1, z2 and v
    bent_ptr, g_u_ptr, g_d2_ptr, g_z1_ptr, g_z2_ptr, g_v_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The chunks in reverse, blocks of hidden channels as in `keys_fwd`."""
    g = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    for back in tl.range(N, disable_licm=True):
        at = (N - 1 - back) * G + g
        upper = at + (N * G if DEEP else 0)
        wide, narrow = at * C * H, at * C * K
        second, g_second = second_ptr + at * R, g_second_ptr + (at + G) * R
        g_first, e, e_upper = g_first_ptr, e_ptr, e_ptr
        g_u, bent, slope = g_u_ptr, bent_ptr, slope_ptr
        if MOMENTUM:
            e, e_upper = e_ptr + at * C, e_ptr + upper * C
        if DEEP:
            g_first = g_first_ptr + (at + G) * R
            g_u, bent, slope = g_u_ptr + wide, bent_ptr + wide, slope_ptr + wide
            _to_d1(
                key_ptr + narrow, last_ptr + at * C, e, g_first,
                from_d1_ptr + wide, slope, curve_ptr + wide, bent, g_u,
                kk, in_k, C, K, H, MOMENTUM, T, ACC, BLOCK_H, ROWS,
            )  # fmt: skip
        _to_d2(
            second, x_ptr + wide, last_ptr + upper * C, e_upper, g_second,
            from_d2_ptr + narrow, g_u, g_d2_ptr + narrow,
            kk, in_k, C, K, H, MOMENTUM, DEEP, T, ACC, BLOCK_H, ROWS,
        )  # fmt: skip
        _unsignals(
            g_d2_ptr + narrow, z2_ptr + narrow, k_ptr + narrow, v_ptr + narrow,
            g_v_ptr + narrow, g_z2_ptr + narrow, kk, in_k, C, K, RESIDUAL, NORM, ACC,
        )  # fmt: skip
        tl.debug_barrier()
        _to_z1(
            second, d2_ptr + narrow, last_ptr + upper * C, e_upper, g_second,
            from_x_ptr + wide, g_z2_ptr + narrow, slope, bent, g_z1_ptr + wide,
            kk, in_k, C, K, H, MOMENTUM, DEEP, T, ACC, BLOCK_H, ROWS,
        )  # fmt: skip
        _to_states(
            g_second, g_second_ptr + at * R, ends_ptr + upper * 3,
            g_z2_ptr + narrow, x_ptr + wide, d2_ptr + narrow, g_u,
            c, kk, in_c, in_k, C, K, H, True, DEEP, MOMENTUM, T, ACC, BLOCK_H,
        )  # fmt: skip
        if DEEP:
            _to_states(
                g_first, g_first_ptr + at * R, ends_ptr + at * 3,
                key_ptr + narrow, g_z1_ptr + wide, g_u, g_u,
                c, kk, in_c, in_k, C, K, H, False, False, MOMENTUM, T, ACC, BLOCK_H,
            )  # fmt: skip
        tl.debug_barrier()  # the chunk before reads the gradients that this one has written
