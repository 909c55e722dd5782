"""Gradients of what tokens of a deep memory wrote, once those to its states are there."""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl

from kernels.deep_keys import block
from kernels.tiles import load_line, load_tile, matmul, store_tile


@triton.jit
def keys_bwd(
    # in: as forward, and the gradients that other kernels found
    query_ptr, key_ptr, last_ptr, e_ptr, first_ptr, d1_ptr,
    g_first_ptr, g_z1_ptr, g_v_ptr, met_ptr,
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
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    met = load_tile(met_ptr + at * C * C, c, t, C, in_c, in_t, T)
    q = load_tile(query_ptr + at * C * K, c, kk, K, in_c, in_k, T)
    g_k = matmul(tl.trans(met), q, T, ACC)
    if RESIDUAL:
        g_k -= load_tile(g_v_ptr + at * C * K, t, kk, K, in_t, in_k, ACC)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        g_z1 = load_tile(g_z1_ptr + at * C * H, t, h, H, in_t, in_h, T)
        w1 = block(first_ptr + at * R, kk, h, in_k, in_h, K, H, False, T)
        g_k += matmul(g_z1, tl.trans(w1), T, ACC)
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # what was written to the memory, then to the momentum
        written = tl.zeros([BLOCK_Q, BLOCK_K], dtype=ACC)
        for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
            h = i * BLOCK_H + tl.arange(0, BLOCK_H)
            in_h = h < H
            d1 = load_tile(d1_ptr + at * C * H, t, h, H, in_t, in_h, T)
            later = g_first_ptr + (at + G) * R + part * K * H
            g_w = block(later, kk, h, in_k, in_h, K, H, False, T)
            written += matmul(d1, tl.trans(g_w), T, ACC)
        k = load_tile(key_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        weights, g_weights = last_ptr if part == 0 else e_ptr, g_last_ptr if part == 0 else g_e_ptr
        tl.store(g_weights + at * C + t, -tl.sum(k * written, 1), mask=in_t)
        g_k -= load_line(weights + at * C, t, in_t, ACC)[:, None] * written
    store_tile(g_k_ptr + at * C * K, g_k, t, kk, K, in_t, in_k)


@triton.jit
def weights_bwd(
    # in: what enters the last matrix, error signals, gradients to states after every chunk
    x_ptr, d2_ptr, g_second_ptr,
    # out: gradients, of the last matrix
    g_last_ptr, g_e_ptr,
    # sizes
    ALL, G, C: tl.constexpr, K: tl.constexpr, H: tl.constexpr,
    MOMENTUM: tl.constexpr, DEEP: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """Gradients to the weights that tokens write with; a program per chunk and block of tokens."""
    at = tl.program_id(0).to(tl.int64)
    kk, t = tl.arange(0, BLOCK_K), tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    in_k, in_t = kk < K, t < C
    R: tl.constexpr = 2 * K * H if MOMENTUM else K * H
    g_second = g_second_ptr + (at + G) * R
    upper = at + (ALL if DEEP else 0)
    g_last, g_e = tl.zeros([BLOCK_Q], dtype=ACC), tl.zeros([BLOCK_Q], dtype=ACC)
    for i in tl.range(tl.cdiv(H, BLOCK_H), disable_licm=True):
        h = i * BLOCK_H + tl.arange(0, BLOCK_H)
        in_h = h < H
        x = load_tile(x_ptr + at * C * H, t, h, H, in_t, in_h, T)
        d2 = load_tile(d2_ptr + at * C * K, t, kk, K, in_t, in_k, T)
        g_w = block(g_second, kk, h, in_k, in_h, K, H, True, T)
        g_last -= tl.sum(x * matmul(d2, g_w, T, ACC), 1)
        if MOMENTUM:
            g_w = block(g_second + K * H, kk, h, in_k, in_h, K, H, True, T)
            g_e -= tl.sum(x * matmul(d2, g_w, T, ACC), 1)
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
    R: tl.constexpr = 2 * SIZE if MOMENTUM else SIZE
    state, g_state = states_ptr + at * R, g_states_ptr + (at + G) * R
    kept, lent = tl.zeros([BLOCK], dtype=ACC), tl.zeros([BLOCK], dtype=ACC)
    slowed = tl.zeros([BLOCK], dtype=ACC)
    for i in range(tl.cdiv(SIZE, BLOCK)):
        place = i * BLOCK + tl.arange(0, BLOCK)
        inside = place < SIZE
        g_memory = load_line(g_state, place, inside, ACC)
        kept += g_memory * load_line(state, place, inside, ACC)
        if MOMENTUM:
            momentum = load_line(state + SIZE, place, inside, ACC)
            lent += g_memory * momentum
            slowed += load_line(g_state + SIZE, place, inside, ACC) * momentum
    tl.store(g_ends_ptr + at * 3, tl.sum(kept, 0))
    tl.store(g_ends_ptr + at * 3 + 1, tl.sum(lent, 0))
    tl.store(g_ends_ptr + at * 3 + 2, tl.sum(slowed, 0))
