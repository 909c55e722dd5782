"""The programs behind `weighted_scan`: the state from chunk to chunk, and what reads it.

As in `chunk_scan_kernels`, but the gates have already been at queries and tokens, channel by
channel: rows of a state are kept each by its own number.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.tiles import load_line, load_tile, matmul, store_tile


@triton.jit
def weighted_states_fwd(
    # in: tokens, error signals at a state of zero and per unit of it, what is kept, first state
    x_ptr, d_ptr, w_ptr, ends_ptr, start_ptr,
    # out: the state before every chunk and after the last, error signals
    states_ptr, after_ptr, signal_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """state[n + 1] = ends * state[n] - x[n]^T D[n]; a program per sequence, head, block of V."""
    g = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    E: tl.constexpr = 3 * K if MOMENTUM else K
    memory = load_tile(start_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = load_tile(start_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for n in range(N):
        at = n * G + g
        state, x, ends = states_ptr + at * R * V, x_ptr + at * C * R, ends_ptr + at * E
        store_tile(state, memory, k, v, V, in_k, in_v)
        if MOMENTUM:
            store_tile(state + K * V, momentum, k, v, V, in_k, in_v)
        d = load_tile(d_ptr + at * C * V, c, v, V, in_c, in_v, ACC)
        if SOLVED:
            w = w_ptr + at * C * R
            d += matmul(load_tile(w, c, k, R, in_c, in_k, T), memory, T, ACC)
            if MOMENTUM:
                d += matmul(load_tile(w + K, c, k, R, in_c, in_k, T), momentum, T, ACC)
            store_tile(signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
        memory *= load_line(ends, k, in_k, ACC)[:, None]
        memory -= matmul(tl.trans(load_tile(x, c, k, R, in_c, in_k, T)), d, T, ACC)
        if MOMENTUM:
            memory += load_line(ends + K, k, in_k, ACC)[:, None] * momentum
            momentum *= load_line(ends + 2 * K, k, in_k, ACC)[:, None]
            momentum -= matmul(tl.trans(load_tile(x + K, c, k, R, in_c, in_k, T)), d, T, ACC)
    after = after_ptr + g * R * V
    store_tile(after, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        store_tile(after + K * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def weighted_reads_fwd(
    # in: queries, what they have of the chunk's error signals, these, states
    q_ptr, a_ptr, signal_ptr, states_ptr,
    # out
    y_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """y = q state - A D; a program per chunk and block of V."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    q, state = q_ptr + at * C * R, states_ptr + at * R * V
    memory = load_tile(state, k, v, V, in_k, in_v, T)
    y = matmul(load_tile(q, c, k, R, in_c, in_k, T), memory, T, ACC)
    if MOMENTUM:
        momentum = load_tile(state + K * V, k, v, V, in_k, in_v, T)
        y += matmul(load_tile(q + K, c, k, R, in_c, in_k, T), momentum, T, ACC)
    a = load_tile(a_ptr + at * C * C, c, c, C, in_c, in_c, T)
    y -= matmul(a, load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T), T, ACC)
    store_tile(y_ptr + at * C * V, y, c, v, V, in_c, in_v)


@triton.jit
def weighted_states_bwd(
    # in: as forward, and gradients to y and to the last state
    q_ptr, x_ptr, w_ptr, a_ptr, ends_ptr, g_y_ptr, g_last_ptr,
    # out: gradients to error signals, to the state after every chunk, to the first state
    g_signal_ptr, g_states_ptr, g_start_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The same scan in reverse; programs as in `weighted_states_fwd`."""
    g = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    E: tl.constexpr = 3 * K if MOMENTUM else K
    memory = load_tile(g_last_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = load_tile(g_last_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for back in range(N):
        at = (N - 1 - back) * G + g
        state, ends = g_states_ptr + at * R * V, ends_ptr + at * E
        q, x = q_ptr + at * C * R, x_ptr + at * C * R
        store_tile(state, memory, k, v, V, in_k, in_v)
        y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
        a = load_tile(a_ptr + at * C * C, c, c, C, in_c, in_c, T)
        d = -matmul(tl.trans(a), y, T, ACC)
        d -= matmul(load_tile(x, c, k, R, in_c, in_k, T), memory, T, ACC)
        if MOMENTUM:
            store_tile(state + K * V, momentum, k, v, V, in_k, in_v)
            d -= matmul(load_tile(x + K, c, k, R, in_c, in_k, T), momentum, T, ACC)
            momentum *= load_line(ends + 2 * K, k, in_k, ACC)[:, None]
            momentum += load_line(ends + K, k, in_k, ACC)[:, None] * memory
            momentum += matmul(tl.trans(load_tile(q + K, c, k, R, in_c, in_k, T)), y, T, ACC)
        store_tile(g_signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
        memory *= load_line(ends, k, in_k, ACC)[:, None]
        memory += matmul(tl.trans(load_tile(q, c, k, R, in_c, in_k, T)), y, T, ACC)
        if SOLVED:
            w = w_ptr + at * C * R
            memory += matmul(tl.trans(load_tile(w, c, k, R, in_c, in_k, T)), d, T, ACC)
            if MOMENTUM:
                momentum += matmul(tl.trans(load_tile(w + K, c, k, R, in_c, in_k, T)), d, T, ACC)
    store_tile(g_start_ptr + g * R * V, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        store_tile(g_start_ptr + (g * R + K) * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def weighted_tokens_bwd(
    # in: error signals, states, gradients to y, to states after chunks and to error signals
    signal_ptr, states_ptr, g_y_ptr, g_states_ptr, g_signal_ptr,
    # out: gradients
    g_q_ptr, g_x_ptr, g_w_ptr, g_a_ptr, g_ends_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients to what tokens read, wrote and kept; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    E: tl.constexpr = 3 * K if MOMENTUM else K
    half: tl.constexpr = 2 if MOMENTUM else 1
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    # in a loop of its own: a product of other sides beside them makes all products' layouts worse
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        in_v = v < V
        y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
        met -= matmul(
            y, tl.trans(load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)), T, ACC
        )
    store_tile(g_a_ptr + at * C * C, met, c, c, C, in_c, in_c)
    for part in tl.static_range(half):  # the memory's half of a state, then the momentum's
        read = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        written = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        asked = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        kept = tl.zeros([BLOCK_K], dtype=ACC)
        lent = tl.zeros([BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(V, BLOCK_V)):
            v = i * BLOCK_V + tl.arange(0, BLOCK_V)
            in_v = v < V
            state = load_tile(states_ptr + (at * R + part * K) * V, k, v, V, in_k, in_v, ACC)
            g_state = load_tile(g_states_ptr + (at * R + part * K) * V, k, v, V, in_k, in_v, ACC)
            y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
            d = load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
            read += matmul(y, tl.trans(state), T, ACC)
            written -= matmul(d, tl.trans(g_state), T, ACC)
            kept += tl.sum(g_state * state, 1)
            if part == 1:
                above = load_tile(g_states_ptr + at * R * V, k, v, V, in_k, in_v, ACC)
                lent += tl.sum(above * state, 1)
            if SOLVED:
                g_d = load_tile(g_signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
                asked += matmul(g_d, tl.trans(state), T, ACC)
        here = at * C * R + part * K
        store_tile(g_q_ptr + here, read, c, k, R, in_c, in_k)
        store_tile(g_x_ptr + here, written, c, k, R, in_c, in_k)
        if SOLVED:
            store_tile(g_w_ptr + here, asked, c, k, R, in_c, in_k)
        tl.store(g_ends_ptr + at * E + 2 * part * K + k, kept, mask=in_k)
        if part == 1:
            tl.store(g_ends_ptr + at * E + K + k, lent, mask=in_k)
