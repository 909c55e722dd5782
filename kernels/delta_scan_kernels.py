"""The programs of `delta_scan` beside those of `decay_scan_kernels`: what a chunk's tokens write.

With E[t, i] = exp(p_t - a_i) for i < t, p_t what is kept of the state that token t meets, and
L = beta E (k k^T) below the diagonal,

    (I + L) D = beta (v - exp(p) k state),    so    D = U - W state,  U = (I + L)^-1 beta v, ...

(the WY / UT transform of DeltaNet, arXiv:2406.06484; with a decay arXiv:2412.06464).
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.decay_scan_kernels import SLOPE, first, kept, load, rate, save, since, state


@triton.jit
def _lower(ptr, here, c, C: tl.constexpr):
    """A matrix of a chunk, [C, C], zero above the diagonal."""
    inside = c[:, None] >= c[None, :]
    return tl.load(ptr + here * (C * C) + c[:, None] * C + c[None, :], mask=inside, other=0.0)


@triton.jit
def _gates(lr_ptr, keep_ptr, at, c, live, H, DECAY: tl.constexpr, DECAYED: tl.constexpr):
    """Of every token, what is kept; its logarithm since the chunk's start, after it and of the
    state that it meets; and how much of its error it writes."""
    keep, step, a = kept(keep_ptr, at, c, live, H, DECAY)
    p = a if DECAYED else a - step
    return keep, a, p, 2.0 * rate(lr_ptr, at, c, live, H, True)


@triton.jit
def _mm(a, b):
    """[16, 16] @ [16, 16] in fp32, by three products of TF32."""
    return tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def delta_system_fwd(
    # in: keys, gates
    k_ptr, lr_ptr, keep_ptr,
    # out: L, [N, G, C, C]
    system_ptr,
    # sizes
    T, H, G, C: tl.constexpr, K: tl.constexpr, DECAY: tl.constexpr, DECAYED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """What tokens meet of those before them in their chunk; a program per chunk."""
    n, g, c = tl.program_id(0), tl.program_id(1), tl.arange(0, BLOCK_C)
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        x = load(k_ptr, at, c, k, live, H, K)
        met += tl.dot(x, tl.trans(x))
    _, a, p, beta = _gates(lr_ptr, keep_ptr, at, c, live, H, DECAY, DECAYED)
    met *= since(p, a, c[:, None] > c[None, :]) * beta[:, None]
    here = n.to(tl.int64) * G + g
    inside = (c < C)[:, None] & (c < C)[None, :]
    tl.store(system_ptr + here * (C * C) + c[:, None] * C + c[None, :], met, mask=inside)


@triton.jit
def _block(ptr, row: tl.constexpr, column: tl.constexpr, i, C: tl.constexpr):
    """The block of 16 rows and columns at `row` and `column`."""
    return tl.load(ptr + (row * 16 + i[:, None]) * C + column * 16 + i[None, :])


@triton.jit
def _put_block(ptr, value, row: tl.constexpr, column: tl.constexpr, i, C: tl.constexpr):
    """Store what `_block` loads."""
    place = ptr + (row * 16 + i[:, None]) * C + column * 16 + i[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty))


@triton.jit
def _own(ptr, row: tl.constexpr, i, C: tl.constexpr):
    """The inverse of a diagonal block of I + L, row by row."""
    found = tl.where(i[:, None] == i[None, :], 1.0, 0.0)
    at = ptr + row * 16 * C + row * 16
    for r in range(1, 16):
        above = tl.load(at + r * C + i, mask=i < r, other=0.0)
        step = tl.sum(above[:, None] * found, 0)
        found -= tl.where(i[:, None] == r, step[None, :], 0.0)
    return found


@triton.jit
def delta_inverse_fwd(
    # in: L, of which what is below the diagonal is read
    system_ptr,
    # out: the inverse of I + L
    inverse_ptr,
    # sizes
    G, C: tl.constexpr,
):  # fmt: skip
    """(I + L)^-1 of 64 rows in blocks of 16, all of them in registers; a program per chunk.

    Rows are substituted inside diagonal blocks: stable where powers of L grow, as those of equal
    keys do.
    """
    here = (tl.program_id(0).to(tl.int64) * G + tl.program_id(1)) * (C * C)
    L, out, i = system_ptr + here, inverse_ptr + here, tl.arange(0, 16)
    a, b, c, d = _own(L, 0, i, C), _own(L, 1, i, C), _own(L, 2, i, C), _own(L, 3, i, C)
    # nobody reads these; but what an operator gives is the same at every call
    nothing = tl.zeros([16, 16], dtype=tl.float32)
    for row in tl.static_range(3):
        for column in tl.static_range(row + 1, 4):
            _put_block(out, nothing, row, column, i, C)
    _put_block(out, a, 0, 0, i, C)
    _put_block(out, b, 1, 1, i, C)
    _put_block(out, c, 2, 2, i, C)
    _put_block(out, d, 3, 3, i, C)
    ba = -_mm(b, _mm(_block(L, 1, 0, i, C), a))
    _put_block(out, ba, 1, 0, i, C)
    second = _block(L, 2, 1, i, C)
    cb = -_mm(c, _mm(second, b))
    _put_block(out, cb, 2, 1, i, C)
    ca = -_mm(c, _mm(_block(L, 2, 0, i, C), a) + _mm(second, ba))
    _put_block(out, ca, 2, 0, i, C)
    first, second, third = _block(L, 3, 0, i, C), _block(L, 3, 1, i, C), _block(L, 3, 2, i, C)
    _put_block(out, -_mm(d, _mm(third, c)), 3, 2, i, C)
    _put_block(out, -_mm(d, _mm(second, b) + _mm(third, cb)), 3, 1, i, C)
    _put_block(out, -_mm(d, _mm(first, a) + _mm(second, ba) + _mm(third, ca)), 3, 0, i, C)


@triton.jit
def delta_writes_fwd(
    # in: the inverse of I + L, tokens, gates
    inverse_ptr, k_ptr, v_ptr, lr_ptr, keep_ptr,
    # out: what tokens write at a state of zero, and less per unit of it
    u_ptr, w_ptr,
    # sizes
    T, H, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, DECAYED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """U and W; a program per chunk."""
    n, g, c = tl.program_id(0), tl.program_id(1), tl.arange(0, BLOCK_C)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    inverse = _lower(inverse_ptr, n.to(tl.int64) * G + g, c, C).to(kind)
    _, _, p, beta = _gates(lr_ptr, keep_ptr, at, c, live, H, DECAY, DECAYED)
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        d = load(v_ptr, at, c, v, live, H, V) * beta[:, None]
        save(u_ptr, tl.dot(inverse, d.to(kind)), at, c, v, live, H, V)
    asks = beta * tl.exp(p)
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        x = load(k_ptr, at, c, k, live, H, K) * asks[:, None]
        save(w_ptr, tl.dot(inverse, x.to(kind)), at, c, k, live, H, K)


@triton.jit
def delta_writes_bwd(
    # in: the inverse, tokens, gates, U and W, states, the gradient to D
    inverse_ptr, k_ptr, v_ptr, lr_ptr, keep_ptr, u_ptr, w_ptr, states_ptr, g_signal_ptr,
    # in and out: gradients to keys and to what is kept
    g_k_ptr, g_keep_ptr,
    # out: gradients
    g_v_ptr, g_lr_ptr,
    # sizes
    T, H, G, C: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    DECAY: tl.constexpr, DECAYED: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Through U and W back to tokens and gates; a program per chunk."""
    n, g, c = tl.program_id(0), tl.program_id(1), tl.arange(0, BLOCK_C)
    kind: tl.constexpr = k_ptr.dtype.element_ty
    at, live = first(T, H, n, g, C), (c < C) & (n * C + c < T)
    here = n.to(tl.int64) * G + g
    inverse = tl.trans(_lower(inverse_ptr, here, c, C).to(kind))
    keep, a, p, beta = _gates(lr_ptr, keep_ptr, at, c, live, H, DECAY, DECAYED)
    g_beta = tl.zeros([BLOCK_C], dtype=tl.float32)
    g_p = tl.zeros([BLOCK_C], dtype=tl.float32)
    g_met = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)  # gradient to L
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        found = tl.dot(inverse, load(g_signal_ptr, at, c, v, live, H, V))
        g_met -= tl.dot(found.to(kind), tl.trans(load(u_ptr, at, c, v, live, H, V)))
        g_beta += tl.sum(found * load(v_ptr, at, c, v, live, H, V).to(tl.float32), 1)
        save(g_v_ptr, found * beta[:, None], at, c, v, live, H, V)
    asks = tl.exp(p)
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        g_w = tl.zeros([BLOCK_C, BLOCK_K], dtype=tl.float32)
        for j in range(tl.cdiv(V, BLOCK_V)):
            v = j * BLOCK_V + tl.arange(0, BLOCK_V)
            d = load(g_signal_ptr, at, c, v, live, H, V)
            g_w -= tl.dot(d, tl.trans(state(states_ptr, here, k, v, K, V)))
        found = tl.dot(inverse, g_w.to(kind))
        g_met -= tl.dot(found.to(kind), tl.trans(load(w_ptr, at, c, k, live, H, K)))
        x = load(k_ptr, at, c, k, live, H, K).to(tl.float32)
        along = tl.sum(found * x, 1) * asks
        g_beta += along
        g_p += along * beta
        g_x = load(g_k_ptr, at, c, k, live, H, K).to(tl.float32)
        save(g_k_ptr, g_x + found * (beta * asks)[:, None], at, c, k, live, H, K)
    seen = since(p, a, c[:, None] > c[None, :])
    met = tl.zeros([BLOCK_C, BLOCK_C], dtype=tl.float32)
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        x = load(k_ptr, at, c, k, live, H, K)
        met += tl.dot(x, tl.trans(x))
    g_met *= seen
    met *= g_met
    g_beta += tl.sum(met, 1)
    tl.store(g_lr_ptr + at + c * H, 2.0 * g_beta, mask=live)
    met *= beta[:, None]
    g_p += tl.sum(met, 1)
    g_met *= beta[:, None]
    both = (g_met + tl.trans(g_met)).to(kind)
    tl.debug_barrier()  # what was added to the gradients of keys is read again
    for i in range(tl.cdiv(K, BLOCK_K)):
        k = i * BLOCK_K + tl.arange(0, BLOCK_K)
        g_x = load(g_k_ptr, at, c, k, live, H, K).to(tl.float32)
        g_x += tl.dot(both, load(k_ptr, at, c, k, live, H, K))
        save(g_k_ptr, g_x, at, c, k, live, H, K)
    if DECAY:
        g_a = g_p - tl.sum(met, 0)
        g_step = tl.sum(g_a, 0) - tl.cumsum(g_a, 0) + g_a  # of all tokens from here on
        if not DECAYED:
            g_step -= g_p
        rows = g_keep_ptr + at + c * H
        before = tl.load(rows, mask=live, other=0.0)
        tl.store(rows, before + g_step / tl.maximum(keep, SLOPE), mask=live)
