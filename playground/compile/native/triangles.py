"""What is known to be zero: the upper triangles of what later tokens would have of earlier ones.

A filter's table is zero where a token would read a later one. A product that meets such a triangle
in its left factor, or is only asked where a triangle lets it through, is made in half the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from playground.compile.native.live import live
from playground.compile.native.values import Const, Input, Map, Product, Value, View


@dataclass(frozen=True)
class Band:
    """Where a matrix may be other than zero: column <= row + shift, or row <= column + shift."""

    shift: int
    lower: bool = True


def bands(
    outputs: Sequence[View], known: Mapping[int, int]
) -> tuple[dict[Product, Band], dict[Product, int]]:
    """For products: the band of the left factor, and the shift below which they are asked.

    known: input -> shift of a matrix that is zero where column > row + shift.
    """
    found: dict[Value, int] = {}
    values = live(outputs)
    for value in values:
        shift = _shift(value, known, found)
        if shift is not None:
            found[value] = shift
    left = {
        v: band
        for v in values
        if isinstance(v, Product) and (band := _band(v.a, found)) is not None
    }
    return left, _asked(values, outputs, found)


def _matrix(sizes: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns of what is one matrix."""
    real = [s for s in sizes if s != 1]
    return (real[0], real[1]) if len(real) == 2 and tuple(sizes[-2:]) == tuple(real) else None


def _shift(value: Value, known: Mapping[int, int], found: Mapping[Value, int]) -> int | None:
    if _matrix(value.shape) is None:
        return None
    if isinstance(value, Input):
        return known.get(value.index)
    if not isinstance(value, Map):
        return None
    bounds = [_band(view, found) for view in value.args]
    shifts = [b.shift if b is not None and b.lower else None for b in bounds]
    real = [s for s in shifts if s is not None]
    if value.op == "mul":
        return min(real, default=None)
    if value.op in ("copy", "neg") or (value.op == "div" and isinstance(value.args[1].base, Const)):
        return shifts[0]
    return max(real) if value.op in ("add", "sub") and len(real) == 2 else None


def _band(view: View, found: Mapping[Value, int]) -> Band | None:
    """The band of a view of a matrix, or of its transpose."""
    shift, sizes = found.get(view.base), _matrix(view.sizes)
    if shift is None or sizes is None:
        return None
    width = view.base.shape[-1]
    row, column = divmod(view.offset, width)
    strides = view.strides[-2:]
    if strides == (width, 1):
        return Band(shift + row - column)
    return Band(shift + row - column, lower=False) if strides == (1, width) else None


def _asked(
    values: Sequence[Value], outputs: Sequence[View], found: Mapping[Value, int]
) -> dict[Product, int]:
    """Products that only ever meet a triangle."""
    asked: dict[Product, int] = {}
    free = {view.base for view in outputs}
    for value in values:
        for view in value.reads:
            base = view.base
            if not isinstance(base, Product):
                continue
            shift = found.get(value) if isinstance(value, Map) and value.op == "mul" else None
            if shift is None or not view.whole:
                free.add(base)
            else:
                asked[base] = max(shift, asked.get(base, shift))
    return {p: s for p, s in asked.items() if p not in free}
