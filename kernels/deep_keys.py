"""What is sequential over chunks in a deep memory's forward pass; the equations: `deep_chunk`."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.chunk_scan_kernels import _line, _mm, _put, _tile
from kernels.deep_network import act, act_slope, error, through_norm


@triton.jit
def _write(
    # a block of a matrix before and after the chunk; its momentum lies `half` further
    before, after, half,
    # what the chunk's tokens write
    x, d, last_ptr, e_ptr, ends_ptr, c, in_c,
    # the block
    rows, columns, stride, in_rows, in_columns,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """ends[0] M + ends[1] P - (last x)^T d, and ends[2] P - (e x)^T d."""
    memory = tl.load(ends_ptr).to(ACC) * _tile(
        before, rows, columns, stride, in_rows, in_columns, ACC
    )
    memory -= _mm(tl.trans(_line(last_ptr, c, in_c, ACC)[:, None] * x), d, T, ACC)
    if MOMENTUM:
        momentum = _tile(before + half, rows, columns, stride, in_rows, in_columns, ACC)
        memory += tl.load(ends_ptr + 1).to(ACC) * momentum
        _put(after, memory, rows, columns, stride, in_rows, in_columns)
        momentum *= tl.load(ends_ptr + 2).to(ACC)
        momentum -= _mm(tl.trans(_line(e_ptr, c, in_c, ACC)[:, None] * x), d, T, ACC)
        _put(after + half, momentum, rows, columns, stride, in_rows, in_columns)
    else:
        _put(after, memory, rows, columns, stride, in_rows, in_columns)


@triton.jit
def keys_fwd(
    # in: tokens of chunks, their weights at the chunk's end
    k_ptr, v_ptr, last_ptr, e_ptr, ends_ptr,
    # in and out: the states before every chunk and after the last, of either matrix
    first_ptr, second_ptr,
    # out: what enters and leaves the network's activation and norm; error signals
    z1_ptr, z2_ptr, d1_ptr, d2_ptr,
    # sizes
    N, G, ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    CARRY: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """The key pass of every chunk and, with CARRY, the state after it; without, z2 as well.

    One program per sequence and head. Blocks of hidden channels go by: a block of w1's columns and
    w2's rows is read, used and written, so that no state needs to fit into a program.
    """
    g = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R1: tl.constexpr = 2 * K if MOMENTUM else K
    R2: tl.constexpr = 2 * H if MOMENTUM else H
    upper = ALL if DEEP else 0  # from the tables of the first matrix to those of the last
    for n in range(N):
        at = n * G + g
        second = second_ptr + at * R2 * K
        z2 = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(H, BLOCK_H)):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            if DEEP:
                k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                w1 = _tile(first_ptr + at * R1 * H, kk, h, H, in_k, in_h, T)
                z1 = _mm(k, w1, T, ACC)
                _put(z1_ptr + at * C * H, z1, c, h, H, in_c, in_h)
            else:
                z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
            w2 = _tile(second, h, kk, K, in_h, in_k, T)
            z2 += _mm(act(z1, DEEP), w2, T, ACC)
        k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        v = _tile(v_ptr + at * C * K, c, kk, K, in_c, in_k, ACC)
        d2, hat, scale = error(z2, k, v, in_k, K, RESIDUAL, NORM)
        if NORM:
            d2 = through_norm(hat, scale, d2, in_k, K)
        _put(d2_ptr + at * C * K, d2, c, kk, K, in_c, in_k)
        if not CARRY:
            _put(z2_ptr + at * C * K, z2, c, kk, K, in_c, in_k)
        tl.debug_barrier()  # what follows reads z1 and d2 by other threads
        if CARRY or DEEP:
            for i in range(tl.cdiv(H, BLOCK_H)):
                h = i * BLOCK_H + tl.arange(0, BLOCK_H)
                in_h = h < H
                e = e_ptr
                d2 = _tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                if DEEP:
                    z1 = _tile(z1_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                    w2 = _tile(second, h, kk, K, in_h, in_k, T)
                    d1 = _mm(d2, tl.trans(w2), T, ACC) * act_slope(z1)
                    _put(d1_ptr + at * C * H, d1, c, h, H, in_c, in_h)
                    if CARRY:
                        k = _tile(k_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                        first = first_ptr + at * R1 * H
                        if MOMENTUM:
                            e = e_ptr + at * C
                        _write(
                            first, first + G * R1 * H, K * H,
                            k, d1, last_ptr + at * C, e, ends_ptr + at * 3, c, in_c,
                            kk, h, H, in_k, in_h, MOMENTUM, T, ACC,
                        )  # fmt: skip
                else:
                    z1 = _tile(k_ptr + at * C * K, c, h, K, in_c, in_h, ACC)
                if CARRY:
                    if MOMENTUM:
                        e = e_ptr + (at + upper) * C
                    _write(
                        second, second + G * R2 * K, H * K,
                        act(z1, DEEP), d2, last_ptr + (at + upper) * C, e,
                        ends_ptr + (at + upper) * 3, c, in_c,
                        h, kk, K, in_h, in_k, MOMENTUM, T, ACC,
                    )  # fmt: skip
        tl.debug_barrier()  # the next chunk reads the state that this one has written
