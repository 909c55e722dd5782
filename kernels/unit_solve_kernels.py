"""The programs behind `unit_solve`: the inverse of I + L in blocks, and products with it.

Diagonal blocks of 16 rows are inverted by substitution, all of them side by side; then pairs of
blocks are joined, 16, 32, ... rows: the corner of a pair's inverse is -(second L first).
Substitution is stable where powers of L grow, as those of equal keys do.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

from kernels.tiles import load_tile, matmul, store_tile


@triton.jit
def _join(
    system, inverse, C: tl.constexpr, size: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr
):
    """Pairs of blocks of `size` rows whose inverses are there become blocks of twice the size."""
    tl.debug_barrier()  # what is joined has been stored
    for pair in range(BLOCK_C // (2 * size)):
        top = pair * 2 * size + tl.arange(0, size)
        low = top + size
        first = load_tile(inverse, top, top, C, top < C, top < C, ACC)
        second = load_tile(inverse, low, low, C, low < C, low < C, ACC)
        between = load_tile(system, low, top, C, low < C, top < C, ACC)
        corner = -matmul(second, matmul(between, first, ACC, ACC), ACC, ACC)
        store_tile(inverse, corner, low, top, C, low < C, top < C)


@triton.jit
def inverse_fwd(
    # in: L, of which what is below the diagonal is read
    system_ptr,
    # out: the inverse of I + L
    inverse_ptr,
    # sizes
    C: tl.constexpr, ACC: tl.constexpr, BLOCK_C: tl.constexpr, JOINS: tl.constexpr,
):  # fmt: skip
    """(I + L)^-1; a program per system."""
    at = tl.program_id(0).to(tl.int64)
    system, inverse = system_ptr + at * C * C, inverse_ptr + at * C * C
    every = tl.arange(0, BLOCK_C)
    nothing = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    store_tile(inverse, nothing, every, every, C, every < C, every < C)
    block, i = tl.arange(0, BLOCK_C // 16) * 16, tl.arange(0, 16)
    own = (i[:, None] == i[None, :])[None, :, :] & (block >= 0)[:, None, None]
    found = tl.where(own, 1.0, 0.0).to(ACC)  # [blocks, 16, 16]
    for r in range(1, 16):
        row, columns = block + r, block[:, None] + i[None, :]
        inside = (row < C)[:, None] & (i < r)[None, :]
        above = tl.load(system + row[:, None] * C + columns, mask=inside, other=0.0).to(ACC)
        step = tl.sum(above[:, :, None] * found, 1)
        found -= tl.where((i == r)[None, :, None], step[:, None, :], 0.0)
    rows = block[:, None, None] + i[None, :, None]
    columns = block[:, None, None] + i[None, None, :]
    tl.debug_barrier()  # zeros first
    place = inverse + rows * C + columns
    tl.store(place, found.to(inverse_ptr.dtype.element_ty), mask=(rows < C) & (columns < C))
    for join in tl.static_range(JOINS):
        _join(system, inverse, C, 16 << join, BLOCK_C, ACC)


@triton.jit
def apply_fwd(
    # in: a matrix, and what it meets
    matrix_ptr, right_ptr,
    # out
    out_ptr,
    # sizes
    C: tl.constexpr, V: tl.constexpr, TURNED: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """matrix @ right, or its transpose @ right; a program per system and block of columns."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    v = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_c, in_v = c < C, v < V
    matrix = load_tile(matrix_ptr + at * C * C, c, c, C, in_c, in_c, T)
    if TURNED:
        matrix = tl.trans(matrix)
    right = load_tile(right_ptr + at * C * V, c, v, V, in_c, in_v, T)
    store_tile(out_ptr + at * C * V, matmul(matrix, right, T, ACC), c, v, V, in_c, in_v)


@triton.jit
def system_bwd(
    # in: the gradient to the right side, and the solution
    g_right_ptr, solution_ptr,
    # out: the gradient to L
    g_system_ptr,
    # sizes
    C: tl.constexpr, V: tl.constexpr, T: tl.constexpr, ACC: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """-g_right solution^T below the diagonal; a program per system."""
    at = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK_C)
    in_c = c < C
    found = tl.zeros([BLOCK_C, BLOCK_C], dtype=ACC)
    for i in range(tl.cdiv(V, BLOCK_V)):
        v = i * BLOCK_V + tl.arange(0, BLOCK_V)
        in_v = v < V
        grad = load_tile(g_right_ptr + at * C * V, c, v, V, in_c, in_v, T)
        solution = load_tile(solution_ptr + at * C * V, c, v, V, in_c, in_v, T)
        found -= matmul(grad, tl.trans(solution), T, ACC)
    found = tl.where(c[:, None] > c[None, :], found, 0.0)
    store_tile(g_system_ptr + at * C * C, found, c, c, C, in_c, in_c)
