"""The programs behind `chunk_scan`: what is sequential over chunks, and what is parallel.

Every chunk has its tokens' tables and reads them with masks, so that any chunk length and any width
fits a tile. `at` counts a chunk of one sequence and head: n * G + g, in int64 before it meets a
stride. Products take their factors as T and add up in ACC: fp32, or fp64 for fp64 inputs.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl


@triton.jit
def _tile(ptr, rows, columns, stride, in_rows, in_columns, T: tl.constexpr):
    """A tile of a row-major matrix, zero outside, as T."""
    inside = in_rows[:, None] & in_columns[None, :]
    found = tl.load(ptr + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)
    return found.to(T)


@triton.jit
def _put(ptr, value, rows, columns, stride, in_rows, in_columns):
    """Store a tile of a row-major matrix."""
    inside = in_rows[:, None] & in_columns[None, :]
    place = ptr + rows[:, None] * stride + columns[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def _line(ptr, places, inside, ACC: tl.constexpr):
    """A vector, zero outside, as ACC."""
    return tl.load(ptr + places, mask=inside, other=0.0).to(ACC)


@triton.jit
def _mm(a, b, T: tl.constexpr, ACC: tl.constexpr):
    """[I, J] @ [J, L] -> [I, L]: the factors as T, the sums as ACC; fp32 in three TF32 parts."""
    precision: tl.constexpr = "tf32x3" if tl.float32 == T else "ieee"
    return tl.dot(a.to(T), b.to(T), input_precision=precision, out_dtype=ACC)


@triton.jit
def states_fwd(
    # in: tokens of chunks, their weights at the chunk's end, the first state
    x_ptr, d_ptr, w_ptr, last_ptr, e_ptr, ends_ptr, start_ptr,
    # out: the state before every chunk and after the last, error signals
    states_ptr, after_ptr, signal_ptr,
    # sizes
    N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, SOLVED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """state[n + 1] = ends * state[n] - (weights * x[n])^T D[n], D = d + w state[n].

    One program per sequence and head, and block of value channels; the state stays in registers.
    """
    g = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    memory = _tile(start_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = _tile(start_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for n in range(N):
        at = n * G + g
        state = states_ptr + at * R * V
        _put(state, memory, k, v, V, in_k, in_v)
        if MOMENTUM:
            _put(state + K * V, momentum, k, v, V, in_k, in_v)
        x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        d = _tile(d_ptr + at * C * V, c, v, V, in_c, in_v, ACC)
        if SOLVED:
            w = w_ptr + at * C * R
            d += _mm(_tile(w, c, k, R, in_c, in_k, T), memory, T, ACC)
            if MOMENTUM:
                d += _mm(_tile(w + K, c, k, R, in_c, in_k, T), momentum, T, ACC)
            _put(signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
        last = _line(last_ptr + at * C, c, in_c, ACC)
        memory *= tl.load(ends_ptr + at * 3).to(ACC)
        memory -= _mm(tl.trans(last[:, None] * x), d, T, ACC)
        if MOMENTUM:
            memory += tl.load(ends_ptr + at * 3 + 1).to(ACC) * momentum
            e = _line(e_ptr + at * C, c, in_c, ACC)
            momentum *= tl.load(ends_ptr + at * 3 + 2).to(ACC)
            momentum -= _mm(tl.trans(e[:, None] * x), d, T, ACC)
    after = after_ptr + g * R * V
    _put(after, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        _put(after + K * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def reads_fwd(
    # in: queries, tokens, error signals, the filter of every token, states
    q_ptr, x_ptr, signal_ptr, b_ptr, c_ptr, a_ptr, states_ptr,
    # out
    y_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """y = b * (q memory) + c * (q momentum) - (A * q x^T) D; a program per chunk and block of V."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
    x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
    d = _tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
    a = _tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    state = states_ptr + at * R * V
    memory = _tile(state, k, v, V, in_k, in_v, T)
    y = _line(b_ptr + at * C, c, in_c, ACC)[:, None] * _mm(q, memory, T, ACC)
    if MOMENTUM:
        momentum = _tile(state + K * V, k, v, V, in_k, in_v, T)
        y += _line(c_ptr + at * C, c, in_c, ACC)[:, None] * _mm(q, momentum, T, ACC)
    y -= _mm(a * _mm(q, tl.trans(x), T, ACC), d, T, ACC)
    _put(y_ptr + at * C * V, y, c, v, V, in_c, in_v)


@triton.jit
def signals_bwd(
    # in: queries, tokens, the filter of every token, gradient to y
    q_ptr, x_ptr, a_ptr, g_y_ptr,
    # out: gradient to the error signals
    g_signal_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """What tokens of the same chunk read of error signals; a program per chunk and block of V."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
    x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
    a = _tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    y = _tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
    d = -_mm(tl.trans(a * _mm(q, tl.trans(x), T, ACC)), y, T, ACC)
    _put(g_signal_ptr + at * C * V, d, c, v, V, in_c, in_v)


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
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The same scan in reverse; programs as in `states_fwd`."""
    g = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_k, in_v = c < C, k < K, v < V
    R: tl.constexpr = 2 * K if MOMENTUM else K
    memory = _tile(g_last_ptr + g * R * V, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = _tile(g_last_ptr + (g * R + K) * V, k, v, V, in_k, in_v, ACC)
    for i in range(N):
        at = (N - 1 - i) * G + g
        state = g_states_ptr + at * R * V
        _put(state, memory, k, v, V, in_k, in_v)
        q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        y = _tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
        b = _line(b_ptr + at * C, c, in_c, ACC)[:, None]
        last = _line(last_ptr + at * C, c, in_c, ACC)[:, None]
        d = _tile(g_signal_ptr + at * C * V, c, v, V, in_c, in_v, ACC)
        d -= _mm(last * x, memory, T, ACC)
        if MOMENTUM:
            _put(state + K * V, momentum, k, v, V, in_k, in_v)
            e = _line(e_ptr + at * C, c, in_c, ACC)[:, None]
            d -= _mm(e * x, momentum, T, ACC)
            momentum *= tl.load(ends_ptr + at * 3 + 2).to(ACC)
            momentum += tl.load(ends_ptr + at * 3 + 1).to(ACC) * memory
            read = _line(c_ptr + at * C, c, in_c, ACC)[:, None]
            momentum += _mm(tl.trans(read * q), y, T, ACC)
        _put(g_signal_ptr + at * C * V, d, c, v, V, in_c, in_v)
        memory *= tl.load(ends_ptr + at * 3).to(ACC)
        memory += _mm(tl.trans(b * q), y, T, ACC)
        if SOLVED:
            w = w_ptr + at * C * R
            memory += _mm(tl.trans(_tile(w, c, k, R, in_c, in_k, T)), d, T, ACC)
            if MOMENTUM:
                momentum += _mm(tl.trans(_tile(w + K, c, k, R, in_c, in_k, T)), d, T, ACC)
    _put(g_start_ptr + g * R * V, memory, k, v, V, in_k, in_v)
    if MOMENTUM:
        _put(g_start_ptr + (g * R + K) * V, momentum, k, v, V, in_k, in_v)


@triton.jit
def scores_bwd(
    # in: as forward, and the gradient to y
    q_ptr, x_ptr, signal_ptr, a_ptr, g_y_ptr,
    # out: gradients
    g_q_ptr, g_x_ptr, g_a_ptr,
    # sizes
    C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens read of their own chunk's writes; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, k < K
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)  # gradient to A * (q x^T)
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        in_v = v < V
        y = _tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
        met -= _mm(y, tl.trans(_tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)), T, ACC)
    q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
    x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
    _put(g_a_ptr + at * C * C, met * _mm(q, tl.trans(x), T, ACC), c, c, C, in_c, in_c)
    met *= _tile(a_ptr + at * C * C, c, c, C, in_c, in_c, ACC)
    # loaded anew for every product, or they take the registers that the sums need
    x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
    _put(g_q_ptr + at * C * K, _mm(met, x, T, ACC), c, k, K, in_c, in_k)
    q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
    _put(g_x_ptr + at * C * K, _mm(tl.trans(met), q, T, ACC), c, k, K, in_c, in_k)


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
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens read of the state, but that to it; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # the memory's half of a state, then the momentum's
        read = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(V, BLOCK_V)):
            v = i * BLOCK_V + tl.arange(0, BLOCK_V)
            in_v = v < V
            y = _tile(g_y_ptr + at * C * V, c, v, V, in_c, in_v, T)
            state = _tile(states_ptr + (at * R + part * K) * V, k, v, V, in_k, in_v, T)
            read += _mm(y, tl.trans(state), T, ACC)
        q = _tile(q_ptr + at * C * K, c, k, K, in_c, in_k, T)
        g_q = _tile(g_q_ptr + at * C * K, c, k, K, in_c, in_k, ACC)
        weights_ptr = b_ptr if part == 0 else c_ptr
        g_q += _line(weights_ptr + at * C, c, in_c, ACC)[:, None] * read
        _put(g_q_ptr + at * C * K, g_q, c, k, K, in_c, in_k)
        g_weights_ptr = g_b_ptr if part == 0 else g_c_ptr
        tl.store(g_weights_ptr + at * C + c, tl.sum(q * read, 1), mask=in_c)
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
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients of what tokens wrote, and of how they asked the state; a program per chunk."""
    at = tl.program_id(0).to(tl.int64)
    c, k = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_K)
    in_c, in_k = c < C, k < K
    R: tl.constexpr = 2 * K if MOMENTUM else K
    half: tl.constexpr = 2 if MOMENTUM else 1
    for part in tl.static_range(half):  # the memory's half of a state, then the momentum's
        row = part * K
        weights_ptr = last_ptr if part == 0 else e_ptr
        written = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        asked = tl.zeros([BLOCK_C, BLOCK_K], dtype=ACC)
        kept = tl.zeros([BLOCK_K], dtype=ACC)
        lent = tl.zeros([BLOCK_K], dtype=ACC)
        for i in range(tl.cdiv(V, BLOCK_V)):
            v = i * BLOCK_V + tl.arange(0, BLOCK_V)
            in_v = v < V
            g_state = _tile(g_states_ptr + (at * R + row) * V, k, v, V, in_k, in_v, ACC)
            state = _tile(states_ptr + (at * R + row) * V, k, v, V, in_k, in_v, ACC)
            d = _tile(signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
            written += _mm(d, tl.trans(g_state), T, ACC)
            kept += tl.sum(g_state * state, 1)
            if part == 1:
                above = _tile(g_states_ptr + at * R * V, k, v, V, in_k, in_v, ACC)
                lent += tl.sum(above * state, 1)
            if SOLVED:
                g_d = _tile(g_signal_ptr + at * C * V, c, v, V, in_c, in_v, T)
                asked += _mm(g_d, tl.trans(state), T, ACC)
        g_x = _tile(g_x_ptr + at * C * K, c, k, K, in_c, in_k, ACC)
        g_x -= _line(weights_ptr + at * C, c, in_c, ACC)[:, None] * written
        _put(g_x_ptr + at * C * K, g_x, c, k, K, in_c, in_k)
        x = _tile(x_ptr + at * C * K, c, k, K, in_c, in_k, T)
        g_weights_ptr = g_last_ptr if part == 0 else g_e_ptr
        tl.store(g_weights_ptr + at * C + c, -tl.sum(x * written, 1), mask=in_c)
        tl.store(g_ends_ptr + at * 3 + 2 * part, tl.sum(kept, 0))
        if part == 1:
            tl.store(g_ends_ptr + at * 3 + 1, tl.sum(lent, 0))
        if SOLVED:
            _put(g_w_ptr + at * C * R + row, asked, c, k, R, in_c, in_k)
        tl.debug_barrier()  # the next part reads what this one has stored
