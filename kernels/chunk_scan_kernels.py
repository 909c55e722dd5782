"""The programs behind `chunk_scan`: what is sequential over chunks, and what is parallel.

Every chunk has its tokens' tables and reads them with masks, so that any chunk length and any width
fits a tile. A program that keeps a state in registers goes through tokens in parts, one that keeps
scores through keys, so that registers are enough for wide factors and heads. `at` counts a chunk of
one sequence and head: n * G + g, in int64 before it meets a stride.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.tiles import load_line, load_tile, matmul, store_tile


@triton.jit
def states_fwd(
    # in: tokens of chunks, their weights at the chunk's end, the first state
    x_ptr, d_ptr, w_ptr, last_ptr, e_ptr, ends_ptr, start_ptr,
    # out: the state before every chunk and after the last, error signals
    states_ptr, after_ptr, signal_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_K: tl.constexpr, PART_C: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """state[n + 1] = ends * state[n] - (weights * x[n])^T D[n], D = d + w state[n].

    One program per sequence and head, and block of value channels; the state stays in registers.
    """
    g = tl.program_id(0).to(tl.int64)
    k, v = tl.arange(0, BLOCK_K), tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_k, in_v = k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    memory = load_tile(start_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = load_tile(start_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for n in range(N):
        at = n * G + g
        state = states_ptr + at * R * V
        store_tile(state, memory, k, v, V, in_k, in_v)
        if MOMENTUM:
            store_tile(state + K * V, momentum, k, v, V, in_k, in_v)
        ends = ends_ptr + at * 3
        memory_next = memory * tl.load(ends).to(ACC)
        momentum_next = momentum
        if MOMENTUM:
            memory_next += tl.load(ends + 1).to(ACC) * momentum
            momentum_next = momentum * tl.load(ends + 2).to(ACC)
        for i in range(tl.cdiv(C, PART_C)):
            c = i * PART_C + tl.arange(0, PART_C)
            in_c = c < C
            d = load_tile(d_ptr + at * C * V, c, v, V, in_c, in_v, ACC)
            if SOLVED:
                w = w_ptr + at * C * R
                d += matmul(load_tile(w, c, k, R, in_c, in_k, T), memory, T, ACC)
                if MOMENTUM:
                    d += matmul(load_tile(w + K, c, k, R, in_c, in_k, T), momentum, T, ACC)
                store_tile(signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
            x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
            last = load_line(last_ptr + at * C, c, in_c, ACC)[:, None]
            memory_next -= matmul(tl.trans(last * x), d, T, ACC)
            if MOMENTUM:
                e = load_line(e_ptr + at * C, c, in_c, ACC)[:, None]
                momentum_next -= matmul(tl.trans(e * x), d, T, ACC)
        memory, momentum = memory_next, momentum_next
    after = after_ptr + g * R * V
    store_tile(after, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        store_tile(after + K * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def reads_fwd(
    # in: queries, tokens, error signals, the filter of every token, states
    q_ptr, x_ptr, signal_ptr, b_ptr, c_ptr, a_ptr, states_ptr,
    # out
    y_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, PART_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """y = b * (q memory) + c * (q momentum) - (A * q x^T) D; a program per chunk and block of V."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_v = c < C, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    state = states_ptr + at * R * V
    y = tl.zeros([BLOCK_C, BLOCK_V], dtype=ACC)
    moved = tl.zeros([BLOCK_C, BLOCK_V], dtype=ACC)
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    for i in range(tl.cdiv(K, PART_K)):
        k = i * PART_K + tl.arange(0, PART_K)
        in_k = k < K
        q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        y += matmul(q, load_tile(state, k, v, V, in_k, in_v, T), T, ACC)
        if MOMENTUM:
            moved += matmul(q, load_tile(state + K * V, k, v, V, in_k, in_v, T), T, ACC)
        x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        met += matmul(q, tl.trans(x), T, ACC)
    y *= load_line(b_ptr + at * C, c, in_c, ACC)[:, None]
    if MOMENTUM:
        y += load_line(c_ptr + at * C, c, in_c, ACC)[:, None] * moved
    met *= load_tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    y -= matmul(met, load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T), T, ACC)
    store_tile(y_ptr + at * C * V, y, c, v, V, in_c, in_v)


@triton.jit
def signals_bwd(
    # in: queries, tokens, the filter of every token, gradient to y
    q_ptr, x_ptr, a_ptr, g_y_ptr,
    # out: gradient to the error signals
    g_signal_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, PART_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """What tokens of the same chunk read of error signals; a program per chunk and block of V."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_v = c < C, v < V
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    for i in range(tl.cdiv(K, PART_K)):
        k = i * PART_K + tl.arange(0, PART_K)
        in_k = k < K
        q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        met += matmul(q, tl.trans(x), T, ACC)
    met *= load_tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
    d = -matmul(tl.trans(met), y, T, ACC)
    store_tile(g_signal_ptr + at * C * V, d, c, v, V, in_c, in_v)


@triton.jit
def states_bwd(
    # in: as forward
    q_ptr, x_ptr, w_ptr, b_ptr, c_ptr, last_ptr, e_ptr, ends_ptr,
    # in: gradients to y and to the last state
    g_y_ptr, g_last_ptr,
    # in and out: what `signals_bwd` gave to the error signals
    g_signal_ptr,
    # out: gradients to the state after every chunk, to the first state
    g_states_ptr, g_start_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_K: tl.constexpr, PART_C: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The same scan in reverse; programs as in `states_fwd`."""
    g = tl.program_id(0).to(tl.int64)
    k, v = tl.arange(0, BLOCK_K), tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_k, in_v = k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    memory = load_tile(g_last_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = load_tile(g_last_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for back in range(N):
        at = (N - 1 - back) * G + g
        state = g_states_ptr + at * R * V
        store_tile(state, memory, k, v, V, in_k, in_v)
        ends = ends_ptr + at * 3
        memory_before = memory * tl.load(ends).to(ACC)
        momentum_before = momentum
        if MOMENTUM:
            store_tile(state + K * V, momentum, k, v, V, in_k, in_v)
            momentum_before = momentum * tl.load(ends + 2).to(ACC)
            momentum_before += tl.load(ends + 1).to(ACC) * memory
        for i in tl.range(tl.cdiv(C, PART_C), disable_licm=True):
            c = i * PART_C + tl.arange(0, PART_C)
            in_c = c < C
            d = load_tile(g_signal_ptr + at * C * V, c, v, V, in_c, in_v, ACC)
            x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
            last = load_line(last_ptr + at * C, c, in_c, ACC)[:, None]
            d -= matmul(last * x, memory, T, ACC)
            if MOMENTUM:
                e = load_line(e_ptr + at * C, c, in_c, ACC)[:, None]
                d -= matmul(e * x, momentum, T, ACC)
            store_tile(g_signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
            if SOLVED:
                w = w_ptr + at * C * R
                asked = load_tile(w, c, k, R, in_c, in_k, T)
                memory_before += matmul(tl.trans(asked), d, T, ACC)
                if MOMENTUM:
                    asked = load_tile(w + K, c, k, R, in_c, in_k, T)
                    momentum_before += matmul(tl.trans(asked), d, T, ACC)
            y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
            q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
            b = load_line(b_ptr + at * C, c, in_c, ACC)[:, None]
            memory_before += matmul(tl.trans(b * q), y, T, ACC)
            if MOMENTUM:
                read = load_line(c_ptr + at * C, c, in_c, ACC)[:, None]
                momentum_before += matmul(tl.trans(read * q), y, T, ACC)
        memory, momentum = memory_before, momentum_before
    store_tile(g_start_ptr + g * R * V, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        store_tile(g_start_ptr + (g * R + K) * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def scores_bwd(
    # in: as forward, and the gradient to y
    q_ptr, x_ptr, signal_ptr, a_ptr, g_y_ptr,
    # out: gradients
    g_q_ptr, g_x_ptr, g_a_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, PART_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens read of their own chunk's writes; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    in_c = c < C
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)  # gradient to A * (q x^T)
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        in_v = v < V
        y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
        d = load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
        met -= matmul(y, tl.trans(d), T, ACC)
    scores = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    for i in range(tl.cdiv(K, PART_K)):
        k = i * PART_K + tl.arange(0, PART_K)
        in_k = k < K
        q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        scores += matmul(q, tl.trans(x), T, ACC)
    store_tile(g_a_ptr + at * C * C, met * scores, c, c, C, in_c, in_c)
    met *= load_tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    for i in range(tl.cdiv(K, PART_K)):
        k = i * PART_K + tl.arange(0, PART_K)
        in_k = k < K
        x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        store_tile(g_q_ptr + at * C * K, matmul(met, x, T, ACC), c, k, K, in_c, in_k)
        q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        store_tile(g_x_ptr + at * C * K, matmul(tl.trans(met), q, T, ACC), c, k, K, in_c, in_k)


@triton.jit
def reads_bwd(
    # in: as forward, and the gradient to y
    q_ptr, b_ptr, c_ptr, states_ptr, g_y_ptr,
    # in and out: what `scores_bwd` gave to q
    g_q_ptr,
    # out: gradients
    g_b_ptr, g_c_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, PART_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens read of the state, but that to it; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    in_c = c < C
    R: tl.constexpr = 2 * K if MOMENTUM else K
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # the memory's half of a state, then the momentum's
        weights_ptr = b_ptr if part == 0 else c_ptr
        weights = load_line(weights_ptr + at * C, c, in_c, ACC)
        g_weights = tl.zeros([BLOCK_C], dtype=ACC)
        for j in range(tl.cdiv(K, PART_K)):
            k = j * PART_K + tl.arange(0, PART_K)
            in_k = k < K
            read = tl.zeros([BLOCK_C, PART_K], dtype=ACC)
            for i in range(tl.cdiv(V, BLOCK_V)):
                v = i * BLOCK_V + tl.arange(0, BLOCK_V)
                in_v = v < V
                y = load_tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
                state = load_tile(states_ptr + (at * R + part * K) * V, k, v, V, in_k, in_v, T)
                read += matmul(y, tl.trans(state), T, ACC)
            g_q = load_tile(g_q_ptr + at * C * K, c, k, K, in_c, in_k, ACC)
            g_q += weights[:, None] * read
            store_tile(g_q_ptr + at * C * K, g_q, c, k, K, in_c, in_k)
            q = load_tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
            g_weights += tl.sum(q * read, 1)
        g_weights_ptr = g_b_ptr if part == 0 else g_c_ptr
        tl.store(g_weights_ptr + at * C + c, g_weights, mask=in_c)
        tl.debug_barrier()  # the next part reads what this one has stored


@triton.jit
def writes_bwd(
    # in: as forward, and the gradients of `states_bwd`
    x_ptr, signal_ptr, last_ptr, e_ptr, states_ptr, g_states_ptr, g_signal_ptr,
    # in and out: what `reads_bwd` gave to x
    g_x_ptr,
    # out: gradients
    g_w_ptr, g_last_ptr, g_e_ptr, g_ends_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, PART_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens wrote, and of how they asked the state; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    in_c = c < C
    R: tl.constexpr = 2 * K if MOMENTUM else K
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # the memory's half of a state, then the momentum's
        row = part * K
        weights_ptr = last_ptr if part == 0 else e_ptr
        weights = load_line(weights_ptr + at * C, c, in_c, ACC)
        g_weights = tl.zeros([BLOCK_C], dtype=ACC)
        kept = tl.zeros([PART_K], dtype=ACC)
        lent = tl.zeros([PART_K], dtype=ACC)
        for j in range(tl.cdiv(K, PART_K)):
            k = j * PART_K + tl.arange(0, PART_K)
            in_k = k < K
            written = tl.zeros([BLOCK_C, PART_K], dtype=ACC)
            asked = tl.zeros([BLOCK_C, PART_K], dtype=ACC)
            for i in range(tl.cdiv(V, BLOCK_V)):
                v = i * BLOCK_V + tl.arange(0, BLOCK_V)
                in_v = v < V
                g_state = load_tile(g_states_ptr + (at * R + row) * V, k, v, V, in_k, in_v, ACC)
                state = load_tile(states_ptr + (at * R + row) * V, k, v, V, in_k, in_v, ACC)
                d = load_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
                written += matmul(d, tl.trans(g_state), T, ACC)
                kept += tl.sum(g_state * state, 1)
                if part == 1:
                    above = load_tile(g_states_ptr + at * R * V, k, v, V, in_k, in_v, ACC)
                    lent += tl.sum(above * state, 1)
                if SOLVED:
                    g_d = load_tile(g_signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
                    asked += matmul(g_d, tl.trans(state), T, ACC)
            g_x = load_tile(g_x_ptr + at * C * K, c, k, K, in_c, in_k, ACC)
            g_x -= weights[:, None] * written
            store_tile(g_x_ptr + at * C * K, g_x, c, k, K, in_c, in_k)
            x = load_tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
            g_weights -= tl.sum(x * written, 1)
            if SOLVED:
                store_tile(g_w_ptr + at * C * R + row, asked, c, k, R, in_c, in_k)
        g_weights_ptr = g_last_ptr if part == 0 else g_e_ptr
        tl.store(g_weights_ptr + at * C + c, g_weights, mask=in_c)
        tl.store(g_ends_ptr + at * 3 + 2 * part, tl.sum(kept, 0))
        if part == 1:
            tl.store(g_ends_ptr + at * 3 + 1, tl.sum(lent, 0))
        tl.debug_barrier()  # the next part reads what this one has stored
