"""What a body computes, for one sequence and head: values, and views of them.

Every value is contiguous in its own shape; whatever only moves axes, cuts or repeats is a `View`.
Equal values are one value (`Values` keeps them), so nothing is computed twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

Number = float | int


class Unsupported(Exception):
    """A body that cannot become a program; the message says what stands in the way."""


@dataclass(eq=False, kw_only=True)
class Value:
    """Something computed; its elements lie one after another in the order of `shape`."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def reads(self) -> tuple["View", ...]:
        """What it is computed from."""
        return ()


@dataclass(eq=False, kw_only=True)
class Input(Value):
    """Argument number `index` of the body."""

    index: int


@dataclass(eq=False, kw_only=True)
class Const(Value):
    """One number."""

    number: Number


@dataclass(eq=False, kw_only=True)
class Map(Value):
    """An elementwise function of views of its own shape; `op` is a name of `emit.OPS`."""

    op: str
    args: tuple["View", ...]

    @property
    def reads(self) -> tuple["View", ...]:
        return self.args


@dataclass(eq=False, kw_only=True)
class Fold(Value):
    """A sum or a maximum over the last axis of a view: [..., n] -> [...]."""

    op: str
    arg: "View"

    @property
    def reads(self) -> tuple["View", ...]:
        return (self.arg,)


@dataclass(eq=False, kw_only=True)
class Product(Value):
    """Products of matrices: [b, M, K] @ [b, K, N] -> [b, M, N]."""

    a: "View"
    b: "View"

    @property
    def reads(self) -> tuple["View", ...]:
        return (self.a, self.b)


@dataclass(eq=False, kw_only=True)
class Onto(Product):
    """x + sign * product, made where x lies; nobody else asks for x, nor for the product.

    value: the sum that this is.
    """

    x: "View"
    sign: int
    product: Product
    value: Map

    @property
    def reads(self) -> tuple["View", ...]:
        return (self.a, self.b, self.x)


@dataclass(eq=False, kw_only=True)
class Join(Value):
    """Views side by side along an axis."""

    parts: tuple["View", ...]
    axis: int

    @property
    def reads(self) -> tuple["View", ...]:
        return self.parts


@dataclass(eq=False)
class Call:
    """A function that stands in a header: `name` of contiguous views, with some made of none.

    sizes: the numbers it is given before them; made: what it writes, after them.
    """

    name: str
    sizes: tuple[int, ...]
    args: tuple["View | None", ...]
    made: "list[Output]"

    @property
    def reads(self) -> tuple["View", ...]:
        """What it is given."""
        return tuple(view for view in self.args if view is not None)


@dataclass(eq=False, kw_only=True)
class Output(Value):
    """One of the things that a call makes."""

    call: Call

    @property
    def reads(self) -> tuple["View", ...]:
        return self.call.reads


@dataclass(frozen=True)
class View:
    """Elements of a value: base[offset + sum of index * stride], for every index below `sizes`."""

    base: Value
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, base: Value) -> "View":
        """All of a value."""
        return cls(base, 0, base.shape, contiguous(base.shape))

    @property
    def whole(self) -> bool:
        """Whether it is its base, element by element, in order."""
        same = self.offset == 0 and prod(self.sizes) == self.base.size
        return same and self.dims() == [(self.base.size, 1)][: self.base.size > 1]

    @property
    def stored(self) -> bool:
        """Whether its elements lie one after another in memory."""
        dense = self.dims() == [(prod(self.sizes), 1)][: prod(self.sizes) > 1]
        return dense and not isinstance(self.base, Const)

    @property
    def number(self) -> Number | None:
        """Of a constant."""
        return self.base.number if isinstance(self.base, Const) else None

    def dims(self) -> list[tuple[int, int]]:
        """(size, stride) of its axes, those of size 1 left out, neighbours joined."""
        return joined(zip(self.sizes, self.strides, strict=True))

    def permute(self, axes: Sequence[int]) -> "View":
        sizes = tuple(self.sizes[a] for a in axes)
        return replace(self, sizes=sizes, strides=tuple(self.strides[a] for a in axes))

    def cut(self, axis: int, start: int, size: int) -> "View":
        """Elements start .. start + size along an axis."""
        sizes = (*self.sizes[:axis], size, *self.sizes[axis + 1 :])
        return replace(self, offset=self.offset + start * self.strides[axis], sizes=sizes)

    def insert(self, axis: int) -> "View":
        """One axis of size 1 more."""
        sizes = (*self.sizes[:axis], 1, *self.sizes[axis:])
        return replace(self, sizes=sizes, strides=(*self.strides[:axis], 0, *self.strides[axis:]))

    def drop(self, axis: int) -> "View":
        """Without an axis of size 1."""
        strides = (*self.strides[:axis], *self.strides[axis + 1 :])
        return replace(self, sizes=(*self.sizes[:axis], *self.sizes[axis + 1 :]), strides=strides)

    def expand(self, sizes: Sequence[int]) -> "View":
        """Axes of size 1 repeated, and axes put before the first, as torch broadcasts."""
        here = self
        for _ in range(len(sizes) - len(self.sizes)):
            here = here.insert(0)
        strides = []
        for have, want, stride in zip(here.sizes, sizes, here.strides, strict=True):
            if have != want and have != 1 and want != -1:
                raise Unsupported(f"sizes {self.sizes} as {tuple(sizes)}")
            strides.append(stride if have == want or want == -1 else 0)
        wanted = tuple(h if w == -1 else w for h, w in zip(here.sizes, sizes, strict=True))
        return View(here.base, here.offset, wanted, tuple(strides))

    def reshape(self, sizes: Sequence[int]) -> "View | None":
        """The same elements in the same order under other sizes; None if that takes a copy."""
        sizes, left = tuple(sizes), [(s, t) for s, t in self.dims()]
        strides = [0] * len(sizes)
        for axis in reversed(range(len(sizes))):
            if sizes[axis] == 1:
                continue
            if not left:
                return None
            size, stride = left.pop()
            if size % sizes[axis]:
                return None
            strides[axis] = stride
            if size > sizes[axis]:
                left.append((size // sizes[axis], stride * sizes[axis]))
        return None if left else View(self.base, self.offset, sizes, tuple(strides))


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of elements that lie one after another."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def joined(dims: "zip[tuple[int, int]] | Sequence[tuple[int, int]]") -> list[tuple[int, int]]:
    """Axes (size, stride) with those of size 1 left out and neighbours made one."""
    found: list[tuple[int, int]] = []
    for size, stride in dims:
        if size == 1:
            continue
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return found


class Values:
    """Makes values, each once, and none that is known already."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Value] = {}
        self._calls: dict[object, Call] = {}

    def _once(self, value: Value, *key: object) -> View:
        return View.of(self._known.setdefault((type(value), *key), value))

    def const(self, number: Number, sizes: Sequence[int] = ()) -> View:
        """A number, repeated."""
        return self._once(Const(shape=(), number=number), float(number)).expand(sizes)

    def fold(self, op: str, view: View) -> View:
        """Sum or maximum over the last axis; one after another where it is several."""
        return self._once(Fold(shape=view.sizes[:-1], op=op, arg=view), op, view)

    def product(self, a: View, b: View) -> View:
        """[b, M, K] @ [b, K, N]."""
        shape = (a.sizes[0], a.sizes[1], b.sizes[2])
        return self._once(Product(shape=shape, a=a, b=b), a, b)

    def join(self, parts: Sequence[View], axis: int) -> View:
        """Views side by side along an axis, those of no width left out where others are."""
        kept = tuple(p for p in parts if p.sizes[axis]) or tuple(parts[:1])
        if len(kept) == 1:
            return kept[0]
        sizes = list(kept[0].sizes)
        sizes[axis] = sum(p.sizes[axis] for p in kept)
        return self._once(Join(shape=tuple(sizes), parts=kept, axis=axis), kept, axis)

    def call(
        self,
        name: str,
        sizes: tuple[int, ...],
        args: Sequence[View | None],
        shapes: Sequence[tuple[int, ...]],
    ) -> list[View]:
        """What a function in a header makes, each of its own shape."""
        given = tuple(v if v is None or v.stored else self.copy(v) for v in args)
        key = (name, sizes, given)
        if key not in self._calls:
            call = Call(name, sizes, given, [])
            call.made = [Output(shape=shape, call=call) for shape in shapes]
            self._calls[key] = call
        return [View.of(made) for made in self._calls[key].made]

    def copy(self, view: View) -> View:
        """The same elements in a value of their own."""
        return self._once(Map(shape=view.sizes, op="copy", args=(view,)), "copy", view)

    def _apart(self, op: str, views: tuple[View, ...]) -> View | None:
        """A function of what was joined is joined from functions of the parts.

        Not where a product is added: it adds to the joined parts as they lie.
        """
        if op in ("add", "sub") and any(isinstance(v.base, Product) for v in views):
            return None
        for i, view in enumerate(views):
            base = view.base
            if not isinstance(base, Join) or not view.whole or view.sizes != base.shape:
                continue
            start, found = 0, []
            for part in base.parts:
                width = part.sizes[base.axis]
                others = [v.cut(base.axis, start, width) for v in views]
                found.append(self.map(op, *others[:i], part, *others[i + 1 :]))
                start += width
            return self.join(found, base.axis)
        return None

    def map(self, op: str, *args: View) -> View:
        """An elementwise function of views that broadcast to one shape."""
        sizes: tuple[int, ...] = ()
        for arg in args:
            sizes = broadcast(sizes, arg.sizes)
        views = tuple(a.expand(sizes) for a in args)
        if (apart := self._apart(op, views)) is not None:
            return apart
        if (known := simpler(op, views)) is not None:
            return known
        return self._once(Map(shape=sizes, op=op, args=views), op, views)


def broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The sizes that both have after repeating axes of size 1."""
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), strict=True)
    return tuple(y if x == 1 else x for x, y in pairs)


def simpler(op: str, views: tuple[View, ...]) -> View | None:
    """What a function of these is already: x + 0, x * 1 and the like."""
    if op in ("add", "mul"):
        neutral = float(op == "mul")
        for one, other in (views, views[::-1]):
            if other.number == neutral:
                return one
    if op in ("sub", "div") and views[1].number == float(op == "div"):
        return views[0]
    return None
