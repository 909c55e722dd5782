"""Torch's operators, and two of our own, on views of values."""

import math
import operator
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch

from playground.compile.native.values import Unsupported, Values, View

aten = torch.ops.aten
Op = Callable[..., Any]
OPS: dict[object, Op] = {}


def lifts(*targets: object) -> Callable[[Op], Op]:
    """Say which of torch's operators a method of `Lift` is."""

    def known(method: Op) -> Op:
        OPS.update(dict.fromkeys(targets, method))
        return method

    return known


def _axis(view: View, axis: int) -> int:
    return axis % max(1, len(view.sizes))


class Lift:
    """Torch's operators on views."""

    def __init__(self) -> None:
        self.values = Values()

    def view(self, x: View | float | int) -> View:
        """A number as a view."""
        return x if isinstance(x, View) else self.values.const(x)

    def m(self, op: str, *args: View | float | int) -> View:
        """An elementwise function."""
        return self.values.map(op, *(self.view(a) for a in args))

    # what moves no number

    @lifts(aten.view.default, aten._unsafe_view.default, aten.reshape.default)
    def reshape(self, x: View, sizes: Sequence[int]) -> View:
        known = math.prod(s for s in sizes if s != -1)
        sizes = [math.prod(x.sizes) // known if s == -1 else s for s in sizes]
        found = x.reshape(sizes)
        if found is None:
            found = self.values.copy(x).reshape(sizes)
        assert found is not None
        return found

    @lifts(aten.expand.default)
    def expand(self, x: View, sizes: Sequence[int]) -> View:
        return x.expand(sizes)

    @lifts(aten.permute.default)
    def permute(self, x: View, axes: Sequence[int]) -> View:
        return x.permute([_axis(x, a) for a in axes])

    @lifts(aten.transpose.int)
    def transpose(self, x: View, one: int, other: int) -> View:
        axes = list(range(len(x.sizes)))
        one, other = _axis(x, one), _axis(x, other)
        axes[one], axes[other] = axes[other], axes[one]
        return x.permute(axes)

    @lifts(aten.unsqueeze.default)
    def unsqueeze(self, x: View, axis: int) -> View:
        return x.insert(axis % (len(x.sizes) + 1))

    @lifts(aten.squeeze.dim, aten.squeeze.dims)
    def squeeze(self, x: View, axes: int | Sequence[int]) -> View:
        given = [axes] if isinstance(axes, int) else axes
        for axis in sorted((_axis(x, a) for a in given), reverse=True):
            x = x.drop(axis) if x.sizes[axis] == 1 else x
        return x

    @lifts(aten.slice.Tensor)
    def slice(
        self,
        x: View,
        axis: int = 0,
        start: int | None = None,
        end: int | None = None,
        step: int = 1,
    ) -> View:
        """x[start:end] along an axis."""
        axis = _axis(x, axis)
        first, last, _ = slice(start, end).indices(x.sizes[axis])
        if step != 1:
            raise Unsupported("a slice with a step")
        return x.cut(axis, first, max(0, last - first))

    @lifts(aten.select.int)
    def select(self, x: View, axis: int, index: int) -> View:
        axis = _axis(x, axis)
        return x.cut(axis, index % x.sizes[axis], 1).drop(axis)

    @lifts(aten.unbind.int)
    def unbind(self, x: View, axis: int = 0) -> list[View]:
        return [self.select(x, axis, i) for i in range(x.sizes[_axis(x, axis)])]

    @lifts(aten.split_with_sizes.default)
    def split(self, x: View, sizes: Sequence[int], axis: int = 0) -> list[View]:
        ends = list(accumulate(sizes))
        axis = _axis(x, axis)
        return [x.cut(axis, e - size, size) for e, size in zip(ends, sizes, strict=True)]

    @lifts(
        aten.clone.default,
        aten.alias.default,
        aten._to_copy.default,
        aten.detach.default,
        aten.contiguous.default,
    )
    def same(self, x: View, **_: object) -> View:
        return x

    @lifts(aten.copy_.default, aten.copy.default)
    def copied(self, to: View, x: View) -> View:
        return x.expand(to.sizes)

    @lifts(aten.cat.default)
    def cat(self, parts: Sequence[View], axis: int = 0) -> View:
        return self.values.join(parts, _axis(parts[0], axis))

    @lifts(aten.slice_scatter.default)
    def slice_scatter(
        self,
        x: View,
        part: View,
        axis: int = 0,
        start: int | None = None,
        end: int | None = None,
        step: int = 1,
    ) -> View:
        """x with another part at [start:end] of an axis."""
        axis = _axis(x, axis)
        first, last, _ = slice(start, end).indices(x.sizes[axis])
        if step != 1:
            raise Unsupported("a slice with a step")
        after = x.cut(axis, last, x.sizes[axis] - last)
        return self.values.join([x.cut(axis, 0, first), part, after], axis)

    @lifts(aten.constant_pad_nd.default)
    def pad(self, x: View, pads: Sequence[int], number: float = 0.0) -> View:
        """x between numbers, the last axis first; what is negative is cut off."""
        for i in range(len(pads) // 2):
            axis, (low, high) = len(x.sizes) - 1 - i, pads[2 * i : 2 * i + 2]
            start, size = max(0, -low), x.sizes[axis] + min(0, low) + min(0, high)
            x = x.cut(axis, start, size)
            sides = []
            for width in (max(0, low), max(0, high)):
                sizes = (*x.sizes[:axis], width, *x.sizes[axis + 1 :])
                sides.append(self.values.const(number, sizes))
            x = self.values.join([sides[0], x, sides[1]], axis)
        return x

    # numbers

    @lifts(aten.full.default, aten.new_full.default)
    def full(self, *args: Any, **_: object) -> View:
        sizes, number = args[-2:]
        return self.values.const(float(number), sizes)

    @lifts(aten.full_like.default)
    def full_like(self, x: View, number: float, **_: object) -> View:
        return self.values.const(float(number), x.sizes)

    @lifts(aten.scalar_tensor.default)
    def scalar(self, number: float, **_: object) -> View:
        return self.values.const(float(number))

    @lifts(aten.empty_permuted.default, aten.empty.memory_format)
    def empty(self, sizes: Sequence[int], *_: object, **__: object) -> View:
        return self.values.const(math.nan, sizes)

    @lifts(aten.arange.start_step)
    def arange(self, start: int, end: int, step: int = 1, **_: object) -> View:
        count = len(range(start, end, step))
        return self.values.map("count", self.values.const(start, [count]), self.view(step))

    # functions of elements

    @lifts(aten.add.Tensor, aten.add_.Tensor, aten.add.Scalar)
    def add(self, a: View, b: View | float, alpha: float = 1) -> View:
        return self.m("add", a, b if alpha == 1 else self.m("mul", b, alpha))

    @lifts(aten.sub.Tensor, aten.sub_.Tensor, aten.sub.Scalar)
    def sub(self, a: View, b: View | float, alpha: float = 1) -> View:
        return self.m("sub", a, b if alpha == 1 else self.m("mul", b, alpha))

    @lifts(aten.mul.Tensor, aten.mul_.Tensor, aten.mul.Scalar, aten.mul_.Scalar)
    def mul(self, a: View, b: View | float) -> View:
        return self.m("mul", a, b)

    @lifts(aten.div.Tensor, aten.div_.Tensor, aten.div.Scalar, aten.div_.Scalar)
    def div(self, a: View, b: View | float) -> View:
        return self.m("div", a, b)

    @lifts(aten.pow.Tensor_Scalar)
    def pow(self, x: View, power: float) -> View:
        """By products and square roots where these suffice."""
        if power == int(power) and 0 <= power <= 8:
            found, factor, left = self.values.const(1.0, x.sizes), x, int(power)
            while left:
                found = self.m("mul", found, factor) if left & 1 else found
                factor, left = self.m("mul", factor, factor) if left > 1 else factor, left >> 1
            return found
        if power * 4 == int(power * 4) and 0 < power <= 8:
            root = self.m("sqrt", x)
            if power * 2 != int(power * 2):
                return self.pow(self.m("sqrt", root), power * 4)
            return self.pow(root, power * 2)
        if -8 <= power < 0:
            return self.m("div", 1.0, self.pow(x, -power))
        return self.m("pow", x, power)

    @lifts(aten.eq.Scalar)
    def eq(self, a: View, b: float) -> View:
        return self.m("eq", a, b)

    @lifts(aten.le.Scalar)
    def le(self, a: View, b: float) -> View:
        return self.m("le", a, b)

    @lifts(aten.gt.Tensor, aten.gt.Scalar)
    def gt(self, a: View, b: View | float) -> View:
        return self.m("gt", a, b)

    @lifts(aten.where.self)
    def where(self, c: View, a: View, b: View) -> View:
        return self.m("where", c, a, b)

    @lifts(aten.gelu.default)
    def gelu(self, x: View, approximate: str = "none") -> View:
        if approximate != "none":
            raise Unsupported("gelu by tanh")
        erf = self.m("erf", self.m("mul", x, math.sqrt(0.5)))
        return self.m("mul", self.m("mul", self.m("add", erf, 1), 0.5), x)

    # sums

    @lifts(aten.sum.dim_IntList, aten.sum.default)
    def sum(
        self, x: View, axes: Sequence[int] | None = None, keepdim: bool = False, **_: object
    ) -> View:
        return self._fold("sum", x, axes, keepdim)

    @lifts(aten.amax.default)
    def amax(self, x: View, axes: Sequence[int] = (), keepdim: bool = False) -> View:
        return self._fold("max", x, axes, keepdim)

    def _fold(self, op: str, x: View, axes: Sequence[int] | None, keepdim: bool) -> View:
        rank = len(x.sizes)
        gone = sorted({a % rank for a in axes} if axes else set(range(rank)))
        kept = [a for a in range(rank) if a not in gone]
        if math.prod(x.sizes[a] for a in gone) == 1:
            return x if keepdim else self.squeeze(x, gone)
        turned = x.permute([*kept, *gone])
        sizes = [x.sizes[a] for a in kept]
        flat = turned.reshape([*sizes, math.prod(x.sizes[a] for a in gone)])
        if flat is None:
            flat = self.reshape(turned, [*sizes, -1])
        found = self.values.fold(op, flat)
        for axis in gone if keepdim else ():
            found = found.insert(axis)
        return found

    @lifts(aten.native_layer_norm.default)
    def layer_norm(
        self, x: View, shape: Sequence[int], gain: View | None, offset: View | None, eps: float
    ) -> tuple[View, View, View]:
        """Normed rows, their means and the inverse of their spread; without weights."""
        if len(shape) != 1 or gain is not None or offset is not None:
            raise Unsupported("a layer norm with weights")
        mean = self.m("mul", self._fold("sum", x, [-1], True), 1.0 / shape[0])
        away = self.m("sub", x, mean)
        spread = self._fold("sum", self.m("mul", away, away), [-1], True)
        variance = self.m("mul", spread, 1.0 / shape[0])
        slope = self.m("div", 1.0, self.m("sqrt", self.m("add", variance, eps)))
        return self.m("mul", away, slope), mean, slope

    # filters: `lowering/filter_op.py`, in rows.h

    @lifts("playground::plain_rows")
    def plain_rows(self, lr: View, gamma: View, compiled: bool) -> View:
        return self._tables(lr, gamma, None, None)[0]

    @lifts("playground::momentum_rows")
    def momentum_rows(
        self, lr: View, gamma: View, eta: View, live: View | None, compiled: bool
    ) -> tuple[View, ...]:
        memory, momentum, m, e = self._tables(lr, gamma, eta, live)
        return memory, m, e, momentum

    def _tables(
        self, lr: View, gamma: View, eta: View | None, live: View | None
    ) -> tuple[View, ...]:
        size = lr.sizes[-1]
        table = (*lr.sizes, size + (1 if eta is None else 2))
        shapes = [table] if eta is None else [table, table, lr.sizes, lr.sizes]
        sizes = (math.prod(lr.sizes[:-1]), size)
        return tuple(self.values.call("tables", sizes, (lr, gamma, eta, live), shapes))

    @lifts("playground::plain_rows_backward")
    def plain_rows_backward(
        self, gamma: View, memory: View, grad: View, compiled: bool
    ) -> tuple[View, ...]:
        return self._tables_back(gamma, None, None, memory, None, grad, None, None)

    @lifts("playground::momentum_rows_backward")
    def momentum_rows_backward(self, *args: Any) -> tuple[View, ...]:
        return self._tables_back(*args[:8])

    def _tables_back(self, gamma: View, eta: View | None, *rest: View | None) -> tuple[View, ...]:
        sizes = (math.prod(gamma.sizes[:-1]), gamma.sizes[-1])
        shapes = [gamma.sizes] * (2 if eta is None else 3)
        return tuple(self.values.call("tables_back", sizes, (gamma, eta, *rest), shapes))

    # products

    @lifts(aten.bmm.default)
    def bmm(self, a: View, b: View) -> View:
        a, b = (x if x.number is None else self.values.copy(x) for x in (a, b))
        return self.values.product(a, b)

    @lifts(aten.linalg_solve_triangular.default)
    def solve_triangular(
        self, a: View, b: View, *, upper: bool, left: bool = True, unitriangular: bool = False
    ) -> View:
        """The solution of a x = b, a triangular with ones on its diagonal."""
        if not left or not unitriangular:
            raise Unsupported("a triangular system without ones on its diagonal, or from the right")
        size, columns = b.sizes[-2:]
        sizes = (math.prod(b.sizes[:-2]), size, columns, int(upper))
        a = a.expand((*b.sizes[:-2], size, size))
        return self.values.call("solve", sizes, (a, b), [b.sizes])[0]


def _get(_: Lift, of: Sequence[View], index: int) -> View:
    return of[index]


def _unary(op: str) -> Op:
    def method(self: Lift, x: View) -> View:
        return self.m(op, x)

    return method


OPS[operator.getitem] = _get
for _name in ("exp", "erf", "neg", "abs", "sign", "sqrt", "rsqrt", "sigmoid", "tanh", "log"):
    OPS[getattr(aten, _name).default] = _unary(_name)
