"""What is sequential over chunks in a deep memory's forward pass; the equations: `deep_chunk`.

All tiles of states are [K, hidden]: of the last matrix the transpose. So products have tokens or
K as their rows, and weights of tokens are multiplied into what passes through registers anyway.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.deep_network import error, gelu, through_norm
from kernels.tiles import load_line, load_tile, matmul, store_tile

FEW: tl.constexpr = tl.constexpr(16)  # tokens that go through a norm at once


@triton.jit
def block(ptr, kk, h, in_k, in_h, K: tl.constexpr, H: tl.constexpr, LAST: tl.constexpr, T):
    """A block of a state's columns (w1), or of the rows of the last matrix, turned; [K, h]."""
    down: tl.constexpr = 1 if LAST else H
    along: tl.constexpr = K if LAST else 1
    place = kk[:, None] * down + h[None, :] * along
    return tl.load(ptr + place, mask=in_k[:, None] & in_h[None, :], other=0.0).to(T)


@triton.jit
def put_block(ptr, value, kk, h, in_k, in_h, K: tl.constexpr, H: tl.constexpr, LAST: tl.constexpr):
    """Store what `block` loads."""
    down: tl.constexpr = 1 if LAST else H
    along: tl.constexpr = K if LAST else 1
    place = kk[:, None] * down + h[None, :] * along
    tl.store(ptr + place, value, mask=in_k[:, None] & in_h[None, :])


@triton.jit
def _write(
    # a state before and after the chunk, its momentum below it
    before, after,
    # [K, tokens] as T and [tokens, h]; how they are weighed
    rows, d, last_ptr, e_ptr, ends_ptr, c, in_c,
    kk, h, in_k, in_h, K: tl.constexpr, H: tl.constexpr, LAST: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """ends[0] M + ends[1] P - rows (last d), and ends[2] P - rows (e d)."""
    memory = block(before, kk, h, in_k, in_h, K, H, LAST, ACC) * tl.load(ends_ptr).to(ACC)
    memory -= matmul(rows, load_line(last_ptr, c, in_c, ACC)[:, None] * d, T, ACC)
    if MOMENTUM:
        momentum = block(before + K * H, kk, h, in_k, in_h, K, H, LAST, ACC)
        memory += tl.load(ends_ptr + 1).to(ACC) * momentum
        put_block(after, memory, kk, h, in_k, in_h, K, H, LAST)
        momentum *= tl.load(ends_ptr + 2).to(ACC)
        momentum -= matmul(rows, load_line(e_ptr, c, in_c, ACC)[:, None] * d, T, ACC)
        put_block(after + K * H, momentum, kk, h, in_k, in_h, K, H, LAST)
    else:
        put_block(after, memory, kk, h, in_k, in_h, K, H, LAST)


@triton.jit
def _signals(
    # what enters the norm, tokens of a chunk
    z2_ptr, k_ptr, v_ptr,
    # out
    d2_ptr,
    kk, in_k, C: tl.constexpr, K: tl.constexpr,
    RESIDUAL: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The error signals of the last matrix, a few tokens at a time."""
    for i in tl.range(tl.cdiv(C, FEW), disable_licm=True):
        c = i * FEW + tl.arange(0, FEW)
        in_c = c < C
        z2 = load_tile(z2_ptr, c, kk, K, in_c, in_k, ACC)
        k = load_tile(k_ptr, c, kk, K, in_c, in_k, ACC)
        v = load_tile(v_ptr, c, kk, K, in_c, in_k, ACC)
        d2, hat, scale = error(z2, k, v, in_k, K, RESIDUAL, NORM)
        if NORM:
            d2 = through_norm(hat, scale, d2, in_k, K)
        store_tile(d2_ptr, d2, c, kk, K, in_c, in_k)


@triton.jit
def keys_fwd(
    # in: tokens of chunks, keys as factors too; their weights at the chunk's end
    k_ptr, v_ptr, key_ptr, last_ptr, e_ptr, ends_ptr,
    # in and out: the states before every chunk and after the last, of either matrix
    first_ptr, second_ptr,
    # out: what leaves the activation, its slope and bend; what enters the norm; error signals
    x_ptr, slope_ptr, bend_ptr, z2_ptr, d1_ptr, d2_ptr,
    # out: what the bend adds to a gradient, per gradient to d1
    curve_ptr,
    # sizes
    N, G, ALL, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr,
    CARRY: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The key pass of every chunk and, with CARRY, the state after it; without, what goes back.

    One program per sequence and head. Blocks of hidden channels go by: a block of w1's columns and
    w2's rows is read, used and written, so that no state needs to fit into a program. A memory of
    one matrix is the last one, and x is given: the keys.
    """
    g = tl.program_id(0).to(tl.int64)
    c, kk = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, kk < K
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H  # numbers of a state
    upper = ALL if DEEP else 0  # from the tables of the first matrix to those of the last
    for n in tl.range(N, disable_licm=True):
        at = n * G + g
        second = second_ptr + at * R
        for r in tl.range(tl.cdiv(C, ROWS), disable_licm=True):
            t = r * ROWS + tl.arange(0, ROWS)
            in_t = t < C
            z2 = tl.zeros([ROWS, BLOCK_K], dtype=ACC)
            for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
                h = i * BLOCK_H + tl.arange(0, BLOCK_H)
                in_h = h < H
                if DEEP:
                    k = load_tile(key_ptr + at * C * K, t, kk, K, in_t, in_k, T)
                    w1 = block(first_ptr + at * R, kk, h, in_k, in_h, K, H, False, T)
                    x, slope, bend = gelu(matmul(k, w1, T, ACC))
                    x = x.to(T)
                    store_tile(x_ptr + at * C * H, x, t, h, H, in_t, in_h)
                    store_tile(slope_ptr + at * C * H, slope, t, h, H, in_t, in_h)
                    if not CARRY:
                        store_tile(bend_ptr + at * C * H, bend, t, h, H, in_t, in_h)
                else:
                    x = load_tile(x_ptr + at * C * H, t, h, H, in_t, in_h, T)
                w2 = block(second, kk, h, in_k, in_h, K, H, True, T)
                z2 += matmul(x, tl.trans(w2), T, ACC)
            store_tile(z2_ptr + at * C * K, z2, t, kk, K, in_t, in_k)
        tl.debug_barrier()  # what follows reads by other threads what this has written
        _signals(
            z2_ptr + at * C * K, k_ptr + at * C * K, v_ptr + at * C * K, d2_ptr + at * C * K,
            kk, in_k, C, K, RESIDUAL, NORM, ACC,
        )  # fmt: skip
        tl.debug_barrier()
        if CARRY:
            for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
                h = i * BLOCK_H + tl.arange(0, BLOCK_H)
                in_h = h < H
                e = e_ptr
                if MOMENTUM:
                    e = e_ptr + (at + upper) * C
                d2 = load_tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                x = load_tile(x_ptr + at * C * H, c, h, H, in_c, in_h, T)
                _write(
                    second, second_ptr + (at + G) * R, tl.trans(d2), x,
                    last_ptr + (at + upper) * C, e, ends_ptr + (at + upper) * 3, c, in_c,
                    kk, h, in_k, in_h, K, H, True, MOMENTUM, T, ACC,
                )  # fmt: skip
        if DEEP:
            for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
                h = i * BLOCK_H + tl.arange(0, BLOCK_H)
                in_h = h < H
                d2 = load_tile(d2_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                d1 = matmul(d2, block(second, kk, h, in_k, in_h, K, H, True, T), T, ACC)
                if not CARRY:
                    curve = d1 * load_tile(bend_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                    store_tile(curve_ptr + at * C * H, curve, c, h, H, in_c, in_h)
                d1 *= load_tile(slope_ptr + at * C * H, c, h, H, in_c, in_h, ACC)
                store_tile(d1_ptr + at * C * H, d1, c, h, H, in_c, in_h)
                if CARRY:
                    e = e_ptr
                    if MOMENTUM:
                        e = e_ptr + at * C
                    k = load_tile(key_ptr + at * C * K, c, kk, K, in_c, in_k, T)
                    first = first_ptr + at * R
                    _write(
                        first, first_ptr + (at + G) * R, tl.trans(k), d1,
                        last_ptr + at * C, e, ends_ptr + at * 3, c, in_c,
                        kk, h, in_k, in_h, K, H, False, MOMENTUM, T, ACC,
                    )  # fmt: skip
        tl.debug_barrier()  # the next chunk reads the state that this one has written
