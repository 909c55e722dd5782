"""One token of a memory whose gradients are taken at the start of its chunk (class C).

A deep memory is read in blocks of its hidden channels, a linear one in blocks of its rows: each
block is a tile of every matrix. The error needs all blocks of the anchor, so they are read twice;
the second time comes from a cache. `last` is the matrix nearest the output, `first` the other one.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.decode_kernels import block, line, retention, store, written


@triton.jit
def gelu(x):
    """The exact one."""
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def gelu_slope(x):
    """Its derivative."""
    bell = tl.exp(-0.5 * x * x) * 0.3989422804014327
    return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * bell


@triton.jit
def normed(z, inside, V: tl.constexpr):
    """Zero mean and unit variance, and one over the deviation; z is zero outside."""
    centred = tl.where(inside, z - tl.sum(z, 0) / V, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / V + 1e-5)
    return centred * scale, scale


@triton.jit
def pulled(error, target, OBJECTIVE: tl.constexpr, DELTA: tl.constexpr):
    """Gradient of the objective to the prediction: 0 for l2, 1 for dot, 2 for huber."""
    pull = -target if OBJECTIVE == 1 else 2.0 * error
    if OBJECTIVE == 2:
        square = tl.sum(error * error, 0)
        far = square > DELTA * DELTA
        pull *= tl.where(far, DELTA / tl.sqrt(tl.where(far, square, 1.0)), 1.0)
    return pull


@triton.jit
def signal(
    z, k_ptr, v_ptr, g, v, in_v,
    K: tl.constexpr, V: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr,
    OBJECTIVE: tl.constexpr, DELTA: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The error signal at the last matrix, from what it says at the anchor."""
    said, scale = z, 1.0
    if NORM:
        said, scale = normed(z, in_v, V)
    target = line(v_ptr + g * V, v, in_v, ACC)
    error = said - target
    if RESIDUAL:
        error += line(k_ptr + g * K, v, in_v, ACC)
    pull = pulled(error, target, OBJECTIVE, DELTA)
    if NORM:
        pull -= tl.sum(pull, 0) / V + said * (tl.sum(pull * said, 0) / V)
        pull = tl.where(in_v, pull * scale, 0.0)
    return pull


@triton.jit
def output(
    z, q_ptr, y_ptr, g, v, in_v,
    K: tl.constexpr, V: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """What the token reads, from what the last matrix says."""
    if NORM:
        z, _ = normed(z, in_v, V)
    if RESIDUAL:
        z += line(q_ptr + g * K, v, in_v, ACC)
    tl.store(y_ptr + g * V + v, z.to(y_ptr.dtype.element_ty), mask=in_v)


@triton.jit
def moved(
    # in: one matrix's state, gates; the token's input and error; the tile of its anchor
    memory_ptr, momentum_ptr, start_ptr, lr_ptr, keep_ptr, eta_ptr, x, d, anchor,
    # out
    memory_out_ptr, momentum_out_ptr, anchor_out_ptr,
    # where, and what is known of the token
    g, H, start_stride, rows, columns, in_rows, in_columns, live, closes,
    # sizes
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, MOMENTUM: tl.constexpr, TOWARDS: tl.constexpr,
    MASKED: tl.constexpr, SIDE: tl.constexpr, AFTER: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write into one tile of a matrix, and give the memory that is read."""
    here = g * ROWS * COLUMNS
    memory = block(memory_ptr + here, rows, columns, COLUMNS, in_rows, in_columns, ACC)
    momentum = memory
    eta = 0.0
    if MOMENTUM:
        momentum = block(momentum_ptr + here, rows, columns, COLUMNS, in_rows, in_columns, ACC)
        eta = tl.load(eta_ptr + g).to(ACC)
    keep = retention(keep_ptr, g, rows, columns, in_rows, in_columns, ROWS, COLUMNS, SIDE, ACC)
    if TOWARDS:
        home = start_ptr + (g // H) * start_stride + (g % H) * ROWS * COLUMNS
        start = block(home, rows, columns, COLUMNS, in_rows, in_columns, ACC)
        kept = keep * (memory - start) + start
    else:
        kept = keep * memory
    lr = tl.load(lr_ptr + g).to(ACC)
    after, move = written(kept, memory, momentum, x, d, lr, eta, live, MOMENTUM, MASKED)
    store(memory_out_ptr + here, after, rows, columns, COLUMNS, in_rows, in_columns)
    if MOMENTUM:
        store(momentum_out_ptr + here, move, rows, columns, COLUMNS, in_rows, in_columns)
    opened = tl.where(closes, after, anchor)
    store(anchor_out_ptr + here, opened, rows, columns, COLUMNS, in_rows, in_columns)
    return after if AFTER else memory


@triton.jit
def chunk_token_step(
    # in: the matrix nearest the input, none of a linear memory
    memory1_ptr, momentum1_ptr, anchor1_ptr, start1_ptr, lr1_ptr, keep1_ptr, eta1_ptr,
    # in: the matrix nearest the output
    memory2_ptr, momentum2_ptr, anchor2_ptr, start2_ptr, lr2_ptr, keep2_ptr, eta2_ptr,
    # in: the token, its place, whether it is there
    q_ptr, k_ptr, v_ptr, position_ptr, mask_ptr,
    # out: what is read, or each span's part of it; the state
    y_ptr, memory1_out_ptr, momentum1_out_ptr, anchor1_out_ptr,
    memory2_out_ptr, momentum2_out_ptr, anchor2_out_ptr,
    # sizes; D hidden channels, or rows of a linear memory, SPAN of them of this program
    H, start1_stride, start2_stride, chunk_size,
    K: tl.constexpr, D: tl.constexpr, V: tl.constexpr, SPAN: tl.constexpr, DEEP: tl.constexpr,
    MOMENTUM: tl.constexpr, TOWARDS: tl.constexpr, MASKED: tl.constexpr, SIDE: tl.constexpr,
    NORM: tl.constexpr, RESIDUAL: tl.constexpr, OBJECTIVE: tl.constexpr, DELTA: tl.constexpr,
    AFTER: tl.constexpr, ACC: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Error at the anchor, write and read; a program per sequence and head, and span of D."""
    g = tl.program_id(0).to(tl.int64)
    c, v = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_V)
    in_c, in_v = c < K, v < V
    k, q = line(k_ptr + g * K, c, in_c, ACC), line(q_ptr + g * K, c, in_c, ACC)
    z = tl.zeros([BLOCK_V], ACC)
    for at in range(0, D, BLOCK_D):
        i = at + tl.arange(0, BLOCK_D)
        in_i = i < D
        if DEEP:
            first = block(anchor1_ptr + g * K * D, c, i, D, in_c, in_i, ACC)
            x = gelu(tl.sum(k[:, None] * first, 0))
        else:
            x = line(k_ptr + g * K, i, in_i, ACC)
        last = block(anchor2_ptr + g * D * V, i, v, V, in_i, in_v, ACC)
        z += tl.sum(x[:, None] * last, 0)
    d = signal(z, k_ptr, v_ptr, g, v, in_v, K, V, NORM, RESIDUAL, OBJECTIVE, DELTA, ACC)
    live = True
    if MASKED:
        live = tl.load(mask_ptr + g // H) != 0
    closes = (tl.load(position_ptr + g // H) + 1) % chunk_size == 0
    z = tl.zeros([BLOCK_V], ACC)
    for at in range(0, SPAN, BLOCK_D):
        i = tl.program_id(1) * SPAN + at + tl.arange(0, BLOCK_D)
        in_i = i < D
        last = block(anchor2_ptr + g * D * V, i, v, V, in_i, in_v, ACC)
        if DEEP:
            first = block(anchor1_ptr + g * K * D, c, i, D, in_c, in_i, ACC)
            said = tl.sum(k[:, None] * first, 0)
            x = gelu(said)
            back = tl.sum(last * d[None, :], 1) * gelu_slope(said)
            read = moved(
                memory1_ptr, momentum1_ptr, start1_ptr, lr1_ptr, keep1_ptr, eta1_ptr, k, back,
                first, memory1_out_ptr, momentum1_out_ptr, anchor1_out_ptr,
                g, H, start1_stride, c, i, in_c, in_i, live, closes,
                K, D, MOMENTUM, TOWARDS, MASKED, SIDE, AFTER, ACC,
            )  # fmt: skip
            seen = gelu(tl.sum(q[:, None] * read, 0))
        else:
            x = line(k_ptr + g * K, i, in_i, ACC)
            seen = line(q_ptr + g * K, i, in_i, ACC)
        read = moved(
            memory2_ptr, momentum2_ptr, start2_ptr, lr2_ptr, keep2_ptr, eta2_ptr, x, d, last,
            memory2_out_ptr, momentum2_out_ptr, anchor2_out_ptr,
            g, H, start2_stride, i, v, in_i, in_v, live, closes,
            D, V, MOMENTUM, TOWARDS, MASKED, SIDE, AFTER, ACC,
        )  # fmt: skip
        z += tl.sum(seen[:, None] * read, 0)
    if SPAN >= D:
        output(z, q_ptr, y_ptr, g, v, in_v, K, V, NORM, RESIDUAL, ACC)
    else:
        tl.store(y_ptr + (g * tl.num_programs(1) + tl.program_id(1)) * V + v, z, mask=in_v)


@triton.jit
def spans_sum(
    # in: each span's part of what the last matrix says; queries
    z_ptr, q_ptr,
    # out
    y_ptr,
    # sizes
    SPANS: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
    NORM: tl.constexpr, RESIDUAL: tl.constexpr, ACC: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """What a token reads where the spans of a memory are several programs."""
    g, v = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK_V)
    z = tl.zeros([BLOCK_V], ACC)
    for span in range(SPANS):
        z += line(z_ptr + (g * SPANS + span) * V, v, v < V, ACC)
    output(z, q_ptr, y_ptr, g, v, v < V, K, V, NORM, RESIDUAL, ACC)
