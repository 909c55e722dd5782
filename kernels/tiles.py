"""What programs of several files do with tiles: load, store and multiply them.

Tiles are read with masks, so that any chunk length and any width fits one. Products take their
factors as T and add up in ACC: fp32, or fp64 for fp64 inputs.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl


@triton.jit
def load_tile(ptr, rows, columns, stride, in_rows, in_columns, T: tl.constexpr):
    """A tile of a row-major matrix, zero outside, as T."""
    inside = in_rows[:, None] & in_columns[None, :]
    found = tl.load(ptr + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)
    return found.to(T)


@triton.jit
def store_tile(ptr, value, rows, columns, stride, in_rows, in_columns):
    """Store a tile of a row-major matrix."""
    inside = in_rows[:, None] & in_columns[None, :]
    place = ptr + rows[:, None] * stride + columns[None, :]
    tl.store(place, value.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def load_line(ptr, places, inside, ACC: tl.constexpr):
    """A vector, zero outside, as ACC."""
    return tl.load(ptr + places, mask=inside, other=0.0).to(ACC)


@triton.jit
def matmul(a, b, T: tl.constexpr, ACC: tl.constexpr):
    """[I, J] @ [J, L] -> [I, L]: the factors as T, the sums as ACC; fp32 in three TF32 parts."""
    precision: tl.constexpr = "tf32x3" if tl.float32 == T else "ieee"
    return tl.dot(a.to(T), b.to(T), input_precision=precision, out_dtype=ACC)
