"""The programs behind `decay_scan` and `delta_scan`: tokens are read where a model has them.

Tokens are [B, T, H, D], gates [B, T, H]; g = b * H + h counts sequences and heads, n chunks of C
tokens. With a_t the logarithm of what is kept from the chunk's start to token t, both included, all
factors exp(a_t - a_i), t >= i, are at most 1. Products have the tokens' type as factors and sums
of fp32; states between chunks are kept in the tokens' type.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

LEAST: tl.constexpr = tl.constexpr(1e-12)  # what is kept counts as this where it is less
# a gradient to it is one to its logarithm over it: rounding would be all of it where this is less
SLOPE: tl.constexpr = tl.constexpr(1 / 256)


@triton.jit
def first(T, H, n, g, C: tl.constexpr):
    """The place of a chunk's first token among all [B, T, H], in int64."""
    b, h = g // H, g % H
    return (b.to(tl.int64) * T + n * C) * H + h


@triton.jit
def load(ptr, at, c, d, live, H, D: tl.constexpr):
    """Tokens of a chunk, zero where there is none: [C, d]."""
    place = ptr + at * D + c[:, None] * (H * D) + d[None, :]
    return tl.load(place, mask=live[:, None] & (d < D)[None, :], other=0.0)


@triton.jit
def save(ptr, value, at, c, d, live, H, D: tl.constexpr):
    """Store what `load` loads."""
    place = ptr + at * D + c[:, None] * (H * D) + d[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=live[:, None] & (d < D)[None, :])


@triton.jit
def state(ptr, at, k, v, K: tl.constexpr, V: tl.constexpr):
    """A block of the state number `at`, [k, v]."""
    place = ptr + at * (K * V) + k[:, None] * V + v[None, :]
    return tl.load(place, mask=(k < K)[:, None] & (v < V)[None, :], other=0.0)


@triton.jit
def save_state(ptr, value, at, k, v, K: tl.constexpr, V: tl.constexpr):
    """Store what `state` loads."""
    place = ptr + at * (K * V) + k[:, None] * V + v[None, :]
    inside = (k < K)[:, None] & (v < V)[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def kept(keep_ptr, at, c, live, H, DECAY: tl.constexpr):
    """Of every token, what is kept, its logarithm, and that since the chunk's start."""
    keep = tl.full(c.shape, 1.0, tl.float32)
    if DECAY:
        keep = tl.load(keep_ptr + at + c * H, mask=live, other=1.0).to(tl.float32)
        keep = tl.maximum(keep, LEAST)
    step = tl.log(keep)
    return keep, step, tl.cumsum(step, 0)


@triton.jit
def rate(lr_ptr, at, c, live, H, STEP: tl.constexpr):
    """The step of every token; 1 where there is none."""
    lr = tl.full(c.shape, 1.0, tl.float32)
    if STEP:
        lr = tl.load(lr_ptr + at + c * H, mask=live, other=0.0).to(tl.float32)
    return lr


@triton.jit
def since(a, b, seen):
    """exp(a_t - b_i) where token t sees i, else 0."""
    return tl.where(seen, tl.exp(tl.minimum(a[:, None] - b[None, :], 0.0)), 0.0)


@triton.jit
def decay_states_fwd(
    # in: tokens, or of the delta rule what they would write at a state of zero and per unit of it
    k_ptr, v_ptr, w_ptr, lr_ptr, keep_ptr, start_ptr,
    # out: the state before every chunk and after the last, what tokens write
    states_ptr, after_ptr, signal_ptr,
    # sizes
    T, H, N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, STEP: tl.constexpr, SOLVED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """state <- exp(a_C) state + sum_i exp(a_C - a_i) lr_i k_i^T v_i; a program per block of it.

    SOLVED: v_i is v_i - w_i state, so that a program has all of K.
    """
    g, c = tl.program_id(0), tl.arange(0, BLOCK_C)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    k = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    memory = state(start_ptr, g.to(tl.int64), k, v, K, V).to(tl.float32)
    for n in range(N):
        at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
        save_state(states_ptr, memory, tl.cast(n, tl.int64) * G + g, k, v, K, V)
        _, step, a = kept(keep_ptr, at, c, live, H, DECAY)
        total = tl.sum(step, 0)
        d = load(v_ptr, at, c, v, live, H, V)
        if SOLVED:
            w = load(w_ptr, at, c, k, live, H, K)
            d = (d.to(tl.float32) - tl.dot(w, memory.to(kind))).to(kind)
            save(signal_ptr, d, at, c, v, live, H, V)
        weights = tl.exp(total - a) * rate(lr_ptr, at, c, live, H, STEP)
        x = load(k_ptr, at, c, k, live, H, K)
        memory *= tl.exp(total)
        memory += tl.dot(tl.trans(x), (d * weights[:, None]).to(kind))
    save_state(after_ptr, memory, g.to(tl.int64), k, v, K, V)


@triton.jit
def decay_reads_fwd(
    # in: tokens, gates, states
    q_ptr, k_ptr, v_ptr, lr_ptr, keep_ptr, states_ptr,
    # out
    y_ptr,
    # sizes
    T, H, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, STEP: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """y_t = exp(a_t) q_t state + sum_{i <= t} exp(a_t - a_i) lr_i (q_t . k_i) v_i."""
    n, g, c = tl.program_id(1), tl.program_id(2), tl.arange(0, BLOCK_C)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    scores = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        q = load(q_ptr, at, c, k, live, H, K)
        scores += tl.dot(q, tl.trans(load(k_ptr, at, c, k, live, H, K)))
    _, _, a = kept(keep_ptr, at, c, live, H, DECAY)
    lr = rate(lr_ptr, at, c, live, H, STEP)
    own = (scores * since(a, a, c[:, None] >= c[None, :]) * lr[None, :]).to(kind)
    y = tl.zeros([BLOCK_C, BLOCK_V], dtype=tl.float32)
    for i in range(tl.cdiv(K, BLOCK_K)):  # after the scores: registers hold one of them
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        q = load(q_ptr, at, c, k, live, H, K)
        y += tl.dot(q, state(states_ptr, n.to(tl.int64) * G + g, k, v, K, V))
    y = y * tl.exp(a)[:, None] + tl.dot(own, load(v_ptr, at, c, v, live, H, V))
    save(y_ptr, y, at, c, v, live, H, V)


@triton.jit
def decay_states_bwd(
    # in: tokens, gates, the gradients to y and to the last state
    q_ptr, k_ptr, w_ptr, keep_ptr, g_y_ptr, g_after_ptr,
    # in and out: gradients to what tokens write; first those from their own chunk
    g_signal_ptr,
    # out: the gradients to the state after every chunk, to the first state
    g_states_ptr, g_start_ptr,
    # sizes
    T, H, N, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, SOLVED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The scan over chunks in reverse; programs as in `decay_states_fwd`."""
    g, c = tl.program_id(0), tl.arange(0, BLOCK_C)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    k = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)
    kind: tl.constexpr = q_ptr.dtype.element_ty
    memory = state(g_after_ptr, g.to(tl.int64), k, v, K, V).to(tl.float32)
    for back in range(N):
        n = N - 1 - back
        at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
        save_state(g_states_ptr, memory, tl.cast(n, tl.int64) * G + g, k, v, K, V)
        _, step, a = kept(keep_ptr, at, c, live, H, DECAY)
        total = tl.sum(step, 0)
        q = load(q_ptr, at, c, k, live, H, K)
        y = load(g_y_ptr, at, c, v, live, H, V)
        lower = memory.to(kind)
        memory *= tl.exp(total)
        memory += tl.dot(tl.trans(q), (y * tl.exp(a)[:, None]).to(kind))
        if SOLVED:
            x = load(k_ptr, at, c, k, live, H, K)
            d = load(g_signal_ptr, at, c, v, live, H, V).to(tl.float32)
            d = (d + tl.exp(total - a)[:, None] * tl.dot(x, lower)).to(kind)
            save(g_signal_ptr, d, at, c, v, live, H, V)
            memory -= tl.dot(tl.trans(load(w_ptr, at, c, k, live, H, K)), d)
    save_state(g_start_ptr, memory, g.to(tl.int64), k, v, K, V)


@triton.jit
def decay_values_bwd(
    # in: tokens, gates, gradients to y and to states after chunks
    q_ptr, k_ptr, lr_ptr, keep_ptr, g_y_ptr, g_states_ptr,
    # out
    g_v_ptr,
    # sizes
    T, H, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, STEP: tl.constexpr, LATER: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """g_v_i = lr_i (sum_{t >= i} exp(a_t - a_i) (q_t . k_i) g_y_t + exp(a_C - a_i) k_i g_state).

    LATER: the second term, what later chunks read, is there.
    """
    n, g, c = tl.program_id(1), tl.program_id(2), tl.arange(0, BLOCK_C)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    found = tl.zeros([BLOCK_C, BLOCK_V], dtype=tl.float32)
    scores = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)  # [i, t]
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        q = load(q_ptr, at, c, k, live, H, K)
        x = load(k_ptr, at, c, k, live, H, K)
        scores += tl.dot(x, tl.trans(q))
        if LATER:
            found += tl.dot(x, state(g_states_ptr, n.to(tl.int64) * G + g, k, v, K, V))
    _, step, a = kept(keep_ptr, at, c, live, H, DECAY)
    found *= tl.exp(tl.sum(step, 0) - a)[:, None]
    scores *= since(-a, -a, c[:, None] <= c[None, :])
    found += tl.dot(scores.to(kind), load(g_y_ptr, at, c, v, live, H, V))
    found *= rate(lr_ptr, at, c, live, H, STEP)[:, None]
    save(g_v_ptr, found, at, c, v, live, H, V)


@triton.jit
def decay_keys_bwd(
    # in: tokens, gates, states, gradients to y and to states after chunks
    q_ptr, k_ptr, v_ptr, lr_ptr, keep_ptr, states_ptr, g_y_ptr, g_states_ptr,
    # out: gradients; those to gates by block of K
    g_q_ptr, g_k_ptr, g_lr_ptr, g_keep_ptr,
    # sizes
    T, H, G, ALL, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, STEP: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Gradients to queries, keys and gates; a program per chunk and block of K."""
    n, g, c = tl.program_id(1), tl.program_id(2), tl.arange(0, BLOCK_C)
    k = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    here = n.to(tl.int64) * G + g
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)
    g_q = tl.zeros([BLOCK_C, BLOCK_K], dtype=tl.float32)
    g_k = tl.zeros([BLOCK_C, BLOCK_K], dtype=tl.float32)
    lasting = tl.zeros([BLOCK_K], dtype=tl.float32)
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        y = load(g_y_ptr, at, c, v, live, H, V)
        d = load(v_ptr, at, c, v, live, H, V)
        memory = state(states_ptr, here, k, v, K, V)
        g_memory = state(g_states_ptr, here, k, v, K, V)
        met += tl.dot(y, tl.trans(d))
        g_q += tl.dot(y, tl.trans(memory))
        g_k += tl.dot(d, tl.trans(g_memory))
        if DECAY:
            lasting += tl.sum(memory.to(tl.float32) * g_memory.to(tl.float32), 1)
    keep, step, a = kept(keep_ptr, at, c, live, H, DECAY)
    lr, total = rate(lr_ptr, at, c, live, H, STEP), tl.sum(step, 0)
    met *= since(a, a, c[:, None] >= c[None, :])
    q = load(q_ptr, at, c, k, live, H, K)
    x = load(k_ptr, at, c, k, live, H, K)
    g_q *= tl.exp(a)[:, None]
    g_k *= tl.exp(total - a)[:, None]
    g_a = tl.zeros([BLOCK_C], dtype=tl.float32)
    later = tl.zeros([BLOCK_C], dtype=tl.float32)
    if DECAY:
        # of earlier tokens alone: a token's own is the largest, and no decay is in it
        pairs = tl.where(c[:, None] > c[None, :], met, 0.0) * tl.dot(q, tl.trans(x)) * lr[None, :]
        later = tl.sum(x.to(tl.float32) * g_k, 1) * lr  # what later chunks see of a token
        g_a = tl.sum(q.to(tl.float32) * g_q, 1) + tl.sum(pairs, 1) - tl.sum(pairs, 0) - later
    g_q += tl.dot((met * lr[None, :]).to(kind), x)
    save(g_q_ptr, g_q, at, c, k, live, H, K)
    g_k += tl.dot(tl.trans(met.to(kind)), q)
    save(g_k_ptr, g_k * lr[:, None], at, c, k, live, H, K)
    rows = tl.program_id(0).to(tl.int64) * ALL + at + c * H
    if STEP:
        tl.store(g_lr_ptr + rows, tl.sum(x.to(tl.float32) * g_k, 1), mask=live)
    if DECAY:
        last = tl.sum(later, 0) + tl.exp(total) * tl.sum(lasting, 0)
        g_step = tl.sum(g_a, 0) - tl.cumsum(g_a, 0) + g_a + last  # of all tokens from here on
        tl.store(g_keep_ptr + rows, g_step / tl.maximum(keep, SLOPE), mask=live)
