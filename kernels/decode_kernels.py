"""One token of a linear memory with a gradient at every token; and tiles that decoding shares.

Nothing here is a product of tiles: a token is one row, so a step is bound by reading and writing
its state once. Numbers are loaded in whatever type they have and computed in ACC, the state's own.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl


@triton.jit
def line(ptr, places, inside, ACC: tl.constexpr):
    """A vector, zero outside."""
    return tl.load(ptr + places, mask=inside, other=0.0).to(ACC)


@triton.jit
def block(ptr, rows, columns, stride, in_rows, in_columns, ACC: tl.constexpr):
    """A tile of a row-major matrix, zero outside."""
    inside = in_rows[:, None] & in_columns[None, :]
    place = ptr + rows[:, None] * stride + columns[None, :]
    return tl.load(place, mask=inside, other=0.0).to(ACC)


@triton.jit
def store(ptr, value, rows, columns, stride, in_rows, in_columns):
    """Put a tile of a row-major matrix."""
    inside = in_rows[:, None] & in_columns[None, :]
    tl.store(ptr + rows[:, None] * stride + columns[None, :], value, mask=inside)


@triton.jit
def retention(
    ptr, g, rows, columns, in_rows, in_columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SIDE: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What is kept of a tile: one number (SIDE 0), one per row (1) or one per column (2)."""
    if SIDE == 0:
        keep = tl.load(ptr + g).to(ACC)
    elif SIDE == 1:
        keep = line(ptr + g * ROWS, rows, in_rows, ACC)[:, None]
    else:
        keep = line(ptr + g * COLUMNS, columns, in_columns, ACC)[None, :]
    return keep


@triton.jit
def written(
    kept, memory, momentum, x, d, lr, eta, live,
    MOMENTUM: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Memory and momentum after the write of x^T d; a token that is not live changes neither."""
    move = -lr * (x[:, None] * d[None, :])
    if MOMENTUM:
        move += eta * momentum
    after = kept + move
    if MASKED:
        after = tl.where(live, after, memory)
        move = tl.where(live, move, momentum)
    return after, move


@triton.jit
def token_step(
    # in: the state, what it decays to, the token, its gates, whether it is there
    memory_ptr, momentum_ptr, start_ptr, q_ptr, k_ptr, v_ptr, lr_ptr, keep_ptr, eta_ptr, mask_ptr,
    # out
    y_ptr, memory_out_ptr, momentum_out_ptr,
    # sizes
    H, start_stride, K: tl.constexpr, V: tl.constexpr,
    MOMENTUM: tl.constexpr, TOWARDS: tl.constexpr, MASKED: tl.constexpr, SIDE: tl.constexpr,
    SQUARED: tl.constexpr, RESIDUAL: tl.constexpr, DECAYED: tl.constexpr, AFTER: tl.constexpr,
    ACC: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Error, write and read; a program per sequence and head, and block of value channels."""
    g = tl.program_id(0).to(tl.int64)
    k, v = tl.arange(0, BLOCK_K), tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_k, in_v = k < K, v < V
    here = g * K * V
    memory = block(memory_ptr + here, k, v, V, in_k, in_v, ACC)
    momentum = memory
    if MOMENTUM:
        momentum = block(momentum_ptr + here, k, v, V, in_k, in_v, ACC)
    keep = retention(keep_ptr, g, k, v, in_k, in_v, K, V, SIDE, ACC)
    if TOWARDS:
        home = start_ptr + (g // H) * start_stride + (g % H) * K * V
        start = block(home, k, v, V, in_k, in_v, ACC)
        kept = keep * (memory - start) + start
    else:
        kept = keep * memory
    x = line(k_ptr + g * K, k, in_k, ACC)
    d = -line(v_ptr + g * V, v, in_v, ACC)
    if SQUARED:
        d += tl.sum(x[:, None] * (kept if DECAYED else memory), 0)
        if RESIDUAL:
            d += line(k_ptr + g * K, v, in_v, ACC)
        d *= 2.0
    lr = tl.load(lr_ptr + g).to(ACC)
    eta = lr
    if MOMENTUM:
        eta = tl.load(eta_ptr + g).to(ACC)
    live = True
    if MASKED:
        live = tl.load(mask_ptr + g // H) != 0
    after, move = written(kept, memory, momentum, x, d, lr, eta, live, MOMENTUM, MASKED)
    store(memory_out_ptr + here, after, k, v, V, in_k, in_v)
    if MOMENTUM:
        store(momentum_out_ptr + here, move, k, v, V, in_k, in_v)
    q = line(q_ptr + g * K, k, in_k, ACC)
    y = tl.sum(q[:, None] * (after if AFTER else memory), 0)
    if RESIDUAL:
        y += line(q_ptr + g * K, v, in_v, ACC)
    tl.store(y_ptr + g * V + v, y.to(y_ptr.dtype.element_ty), mask=in_v)
