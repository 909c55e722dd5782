"""The programs behind `short_conv`: a token needs the few live tokens before it.

A token's rank counts the live tokens of its row before it in this call; the cache holds the live
tokens before the call, at ranks -1, -2, ... A padded token has rank -1 in `rank_ptr`; `at_ptr`
leads back from a rank to a place. Without a mask both are not there: they say what is known.
Channels are those of one head, so that a program can measure its length.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl


@triton.jit
def rows_of(ptr, rows, columns, inside, in_columns, M: tl.constexpr, ACC: tl.constexpr):
    """Rows of a row-major matrix of M columns, zero where they are not inside."""
    place = ptr + rows[:, None] * M + columns[None, :]
    return tl.load(place, mask=inside[:, None] & in_columns[None, :], other=0.0).to(ACC)


@triton.jit
def put_rows(ptr, value, rows, columns, inside, in_columns, M: tl.constexpr):
    """Store rows of a row-major matrix."""
    place = ptr + rows[:, None] * M + columns[None, :]
    inside = inside[:, None] & in_columns[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def ranks(rank_ptr, count_ptr, b, t, T, MASKED: tl.constexpr):
    """The ranks of places t, whether a live token is there, and how many there are."""
    rank, live, count = t, t < T, T
    if MASKED:
        rank = tl.load(rank_ptr + b * T + t, mask=live, other=-1)
        live, count = rank >= 0, tl.load(count_ptr + b)
    return rank, live, count


@triton.jit
def place_of(at_ptr, b, rank, inside, T, MASKED: tl.constexpr):
    """The rows of [B * T, M] where tokens of a rank stand."""
    place = rank
    if MASKED:
        place = tl.load(at_ptr + b * T + rank, mask=inside, other=0)
    return b * T + place


@triton.jit
def inputs_at(
    x_ptr, cache_ptr, at_ptr, b, rank, inside, columns, in_columns, T,
    M: tl.constexpr, WIDTH: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Inputs by rank, of this call or of the cache."""
    new, old = inside & (rank >= 0), inside & (rank < 0)
    places = place_of(at_ptr, b, rank, new, T, MASKED)
    x = rows_of(x_ptr, places, columns, new, in_columns, M, ACC)
    kept = b * (WIDTH - 1) + WIDTH - 1 + rank
    return x + rows_of(cache_ptr, kept, columns, old, in_columns, M, ACC)


@triton.jit
def convolved(
    x_ptr, weight_ptr, cache_ptr, at_ptr, b, rank, live, columns, in_columns, T,
    M: tl.constexpr, WIDTH: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The sum over a token and the WIDTH - 1 before it."""
    z = tl.zeros([BLOCK_T, BLOCK_D], ACC)
    for i in tl.static_range(WIDTH):
        before = rank + (i - WIDTH + 1)
        x = inputs_at(
            x_ptr, cache_ptr, at_ptr, b, before, live, columns, in_columns, T,
            M, WIDTH, MASKED, ACC,
        )  # fmt: skip
        weight = tl.load(weight_ptr + i * M + columns, mask=in_columns, other=0.0).to(ACC)
        z += weight[None, :] * x
    return z


@triton.jit
def tokens_fwd(
    # in: inputs, weights of each group of rows, live tokens before, and where tokens stand
    x_ptr, weight_ptr, cache_ptr, rank_ptr, at_ptr, count_ptr,
    # out
    y_ptr, cache_out_ptr,
    # sizes; a group of rows has its own weights
    T, BLOCKS, GROUP, M: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr,
    MASKED: tl.constexpr, SILU: tl.constexpr, UNIT: tl.constexpr, ACC: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Convolution, activation, unit length; a program per block of tokens and head."""
    b = tl.program_id(0).to(tl.int64) // BLOCKS
    part = tl.program_id(0) % BLOCKS
    t, c = part * BLOCK_T + tl.arange(0, BLOCK_T), tl.arange(0, BLOCK_D)
    in_d, columns = c < D, tl.program_id(1) * D + c
    rank, live, count = ranks(rank_ptr, count_ptr, b, t, T, MASKED)
    weight = weight_ptr + (b // GROUP) * WIDTH * M
    y = convolved(
        x_ptr, weight, cache_ptr, at_ptr, b, rank, live, columns, in_d, T,
        M, WIDTH, MASKED, ACC, BLOCK_T, BLOCK_D,
    )  # fmt: skip
    if SILU:
        y = y / (1.0 + tl.exp(-y))
    if UNIT:
        y = y / tl.sqrt(tl.sum(y * y, 1) + 1e-6)[:, None]
    put_rows(y_ptr, y, b * T + t, columns, t < T, in_d, M)
    if WIDTH > 1:
        w = tl.arange(0, BLOCK_W)
        inside = (w < WIDTH - 1) & (part == 0)
        last = inputs_at(
            x_ptr, cache_ptr, at_ptr, b, count - (WIDTH - 1) + w, inside, columns, in_d, T,
            M, WIDTH, MASKED, ACC,
        )  # fmt: skip
        put_rows(cache_out_ptr, last, b * (WIDTH - 1) + w, columns, inside, in_d, M)


@triton.jit
def tokens_bwd(
    # in: as forward
    x_ptr, weight_ptr, cache_ptr, rank_ptr, at_ptr, count_ptr,
    # in: gradient to y
    g_y_ptr,
    # out: gradients to what the convolution says, and to the weights, of each block of tokens
    g_z_ptr, g_weight_ptr,
    # sizes
    T, BLOCKS, GROUP, M: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr,
    MASKED: tl.constexpr, SILU: tl.constexpr, UNIT: tl.constexpr, ACC: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Back to the convolution, which is computed anew; programs as in `tokens_fwd`."""
    b = tl.program_id(0).to(tl.int64) // BLOCKS
    part = tl.program_id(0) % BLOCKS
    t, c = part * BLOCK_T + tl.arange(0, BLOCK_T), tl.arange(0, BLOCK_D)
    in_d, columns = c < D, tl.program_id(1) * D + c
    rank, live, _ = ranks(rank_ptr, count_ptr, b, t, T, MASKED)
    weight = weight_ptr + (b // GROUP) * WIDTH * M
    z = convolved(
        x_ptr, weight, cache_ptr, at_ptr, b, rank, live, columns, in_d, T,
        M, WIDTH, MASKED, ACC, BLOCK_T, BLOCK_D,
    )  # fmt: skip
    g = rows_of(g_y_ptr, b * T + t, columns, live, in_d, M, ACC)
    gate = 1.0 / (1.0 + tl.exp(-z))
    if UNIT:
        said = z * gate if SILU else z
        scale = 1.0 / tl.sqrt(tl.sum(said * said, 1) + 1e-6)
        along = tl.sum(said * g, 1) * scale * scale
        g = scale[:, None] * (g - said * along[:, None])
    if SILU:
        g = g * gate * (1.0 + z * (1.0 - gate))
    put_rows(g_z_ptr, g, b * T + t, columns, t < T, in_d, M)
    for i in tl.static_range(WIDTH):
        before = rank + (i - WIDTH + 1)
        x = inputs_at(
            x_ptr, cache_ptr, at_ptr, b, before, live, columns, in_d, T, M, WIDTH, MASKED, ACC
        )  # fmt: skip
        place = g_weight_ptr + (tl.program_id(0).to(tl.int64) * WIDTH + i) * M + columns
        tl.store(place, tl.sum(g * x, 0), mask=in_d)


@triton.jit
def inputs_bwd(
    # in: weights, where tokens stand, gradients to the convolution and to the next cache
    weight_ptr, rank_ptr, at_ptr, count_ptr, g_z_ptr, g_last_ptr,
    # out
    g_x_ptr, g_cache_ptr,
    # sizes
    T, BLOCKS, GROUP, M: tl.constexpr, D: tl.constexpr, WIDTH: tl.constexpr,
    MASKED: tl.constexpr, ACC: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Back to the inputs and to the cache; programs as in `tokens_fwd`."""
    b = tl.program_id(0).to(tl.int64) // BLOCKS
    part = tl.program_id(0) % BLOCKS
    t, c = part * BLOCK_T + tl.arange(0, BLOCK_T), tl.arange(0, BLOCK_D)
    in_d, columns = c < D, tl.program_id(1) * D + c
    rank, live, count = ranks(rank_ptr, count_ptr, b, t, T, MASKED)
    weight = weight_ptr + (b // GROUP) * WIDTH * M
    g = used(
        weight, at_ptr, g_z_ptr, g_last_ptr, b, rank, live, count, columns, in_d, T,
        M, WIDTH, MASKED, ACC, BLOCK_T, BLOCK_D,
    )  # fmt: skip
    put_rows(g_x_ptr, g, b * T + t, columns, t < T, in_d, M)
    if WIDTH > 1:
        w = tl.arange(0, BLOCK_W)
        inside = (w < WIDTH - 1) & (part == 0)
        g = used(
            weight, at_ptr, g_z_ptr, g_last_ptr, b, w - (WIDTH - 1), inside, count, columns, in_d,
            T, M, WIDTH, MASKED, ACC, BLOCK_W, BLOCK_D,
        )  # fmt: skip
        put_rows(g_cache_ptr, g, b * (WIDTH - 1) + w, columns, inside, in_d, M)


@triton.jit
def used(
    weight_ptr, at_ptr, g_z_ptr, g_last_ptr, b, rank, inside, count, columns, in_columns, T,
    M: tl.constexpr, WIDTH: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Gradients to inputs by rank: of the tokens that saw them, and of the next cache."""
    g = tl.zeros([ROWS, BLOCK_D], ACC)
    for i in tl.static_range(WIDTH):
        by = rank + (WIDTH - 1 - i)
        there = inside & (by >= 0) & (by < count)
        places = place_of(at_ptr, b, by, there, T, MASKED)
        weight = tl.load(weight_ptr + i * M + columns, mask=in_columns, other=0.0).to(ACC)
        g += weight[None, :] * rows_of(g_z_ptr, places, columns, there, in_columns, M, ACC)
    if WIDTH > 1:
        kept = rank - count + WIDTH - 1
        last = inside & (kept >= 0)
        row = b * (WIDTH - 1) + kept
        g += rows_of(g_last_ptr, row, columns, last, in_columns, M, ACC)
    return g
