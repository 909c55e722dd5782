"""In which order values are computed, what is computed in one pass over rows, and where it lies.

A `Pass` goes over rows, and in each row over columns: elementwise functions, sums along a row and
copies that read nothing of another row. What only it reads never leaves the registers, or one row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from playground.compile.native.live import live
from playground.compile.native.sums import sums
from playground.compile.native.triangles import Band, bands
from playground.compile.native.values import (
    Call,
    Const,
    Fold,
    Input,
    Join,
    Map,
    Onto,
    Output,
    Product,
    Unsupported,
    Value,
    View,
    joined,
)


@dataclass(eq=False, kw_only=True)
class Result(Value):
    """What the body returns at place `index`, where no value lies there itself."""

    index: int


@dataclass(eq=False)
class Store:
    """Copy elements of one view to the places of another."""

    into: View
    what: View

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.what,)


Statement = Map | Fold | Store | Product | Call
Whole = Product | Call  # a step of its own


@dataclass(frozen=True)
class Access:
    """Where row r and column j of a view lie: offset + row part + j * column."""

    offset: int
    rows: tuple[tuple[int, int], ...]  # (size, stride), outermost first
    column: int


def sizes_of(statement: Map | Fold | Store) -> tuple[int, ...]:
    """Rows and columns of what it goes over."""
    if isinstance(statement, Store):
        return statement.what.sizes
    return statement.arg.sizes if isinstance(statement, Fold) else statement.shape


def access(view: View, columns: int) -> Access:
    """Of a view whose last axis is the columns, or of one that has a column only."""
    if columns == 1:
        return Access(view.offset, tuple(view.dims()), 0)
    rows = joined(list(zip(view.sizes[:-1], view.strides[:-1], strict=True)))
    return Access(view.offset, tuple(rows), view.strides[-1])


@dataclass(eq=False)
class Item:
    """A statement of a pass. phase: which loop over columns of a row it is in, or stands before."""

    statement: Statement
    columns: int
    phase: int

    @property
    def ready(self) -> int:
        """The phase from which on its result can be read at any column."""
        whole_row = isinstance(self.statement, Fold) or self.columns > 1
        return self.phase + whole_row


@dataclass(eq=False)
class Pass:
    """Statements over the same rows."""

    rows: int
    items: dict[Statement, Item] = field(default_factory=dict)

    def columns_of(self, statement: Map | Fold | Store) -> int | None:
        """How many columns a statement has in these rows; None if it does not fit."""
        sizes = sizes_of(statement)
        last = sizes[-1] if sizes else 1
        if prod(sizes) == self.rows * last:
            return last
        fits = prod(sizes) == self.rows and not isinstance(statement, Fold)
        return 1 if fits else None

    def maker(self, value: Value) -> Item | None:
        """What computes a value here."""
        return self.items.get(value) if isinstance(value, Map | Fold) else None

    def width(self, value: Value) -> int:
        """Columns of a value in a row."""
        return value.size // self.rows

    def here(self, view: View, columns: int) -> tuple[Access, bool] | None:
        """How a view is read that this pass computes: if only rows' own; and if at j itself."""
        at, width = access(view, columns), self.width(view.base)
        own = self.rows == 1 or at.rows == ((self.rows, width),)
        own = own and at.offset + at.column * (columns - 1) < width
        if not own:
            return None
        return at, at.offset == 0 and columns == width and (columns == 1 or at.column == 1)


@dataclass
class Plan:
    """A program: passes and products in order, and where every value lies.

    places: ("in" | "out", index) or ("room", elements from the start of the scratch memory).
    left, asked: what of products is known to be zero or not asked; see `triangles`.
    """

    steps: list[Pass | Whole]
    places: dict[Value, tuple[str, int]]
    room: int
    left: dict[Product, Band]
    asked: dict[Product, int]


def plan(
    outputs: Sequence[View], strides: Sequence[tuple[int, ...]], lower: Mapping[int, int]
) -> Plan:
    """Order what the outputs need, and lay it out.

    Args:
        outputs: what the body returns.
        strides: of the memory that each of them is written to.
        lower: input -> shift of a matrix that is zero where column > row + shift.
    """
    scheduler = _Scheduler(outputs, strides)
    steps = list(scheduler.steps())
    return Plan(steps, *_placed(steps, scheduler), *bands(outputs, lower))


class _Scheduler:
    def __init__(self, outputs: Sequence[View], strides: Sequence[tuple[int, ...]]) -> None:
        values = live(outputs)
        self.sums = sums(values, outputs)
        self.inside = {onto.product for onto in self.sums.values()}
        self.results: dict[Value, int] = {}
        self.todo: list[Statement] = []
        self.stores: dict[Value, list[Store]] = {}
        self.users: dict[Value, list[Statement]] = {}
        for value in values:
            self._add(value)
        for index, (view, own) in enumerate(zip(outputs, strides, strict=True)):
            self._result(index, view, own)
        self.done: set[Statement] = set()
        for statement in self.todo:
            for view in statement.reads:
                self.users.setdefault(view.base, []).append(statement)

    def _add(self, value: Value) -> None:
        if isinstance(value, Join):
            start, strides = 0, View.of(value)
            for part in value.parts:
                into = strides.cut(value.axis, start, part.sizes[value.axis])
                start += part.sizes[value.axis]
                self._store(value, Store(into, part))
        elif isinstance(value, Output):
            if value.call not in self.todo:
                self.todo.append(value.call)
        elif isinstance(value, Map | Fold | Product) and value not in self.inside:
            self.todo.append(self.sums.get(value, value))

    def _store(self, target: Value, store: Store) -> None:
        self.todo.append(store)
        self.stores.setdefault(target, []).append(store)

    def _result(self, index: int, view: View, strides: tuple[int, ...]) -> None:
        base, here = view.base, View(view.base, 0, view.sizes, strides)
        dense = here.dims() == View.of(base).dims() if view.whole else False
        if dense and not isinstance(base, Input | Const) and base not in self.results:
            self.results[base] = index
            return
        result = Result(shape=view.sizes, index=index)
        self.results[result] = index
        self._store(result, Store(View(result, 0, view.sizes, strides), view))

    def makers(self, value: Value) -> list[Statement]:
        """The statements after which a value is there."""
        if isinstance(value, Join):
            return list(self.stores[value])
        if value in self.sums:
            return [self.sums[value]]
        if isinstance(value, Output):
            return [value.call]
        return [value] if isinstance(value, Map | Fold | Product) else []

    def place_of(self, value: Value) -> Value:
        """The value whose place a value has: sums are made where their first side lies."""
        while value in self.sums:
            value = self.sums[value].x.base
        return value

    def steps(self) -> Iterator[Pass | Whole]:
        """Passes and products; a pass takes in what follows from it and reads its own rows only."""
        for position, statement in enumerate(self.todo):
            if statement in self.done:
                continue
            if isinstance(statement, Whole):
                self.done.add(statement)
                yield statement
                continue
            step = self._begin(statement)
            for later in self.todo[position + 1 :]:
                follows = any(m in step.items for v in later.reads for m in self.makers(v.base))
                if follows and later not in self.done and later not in step.items:
                    self._join(step, later)
            self.done.update(step.items)
            yield step

    def _begin(self, statement: Map | Fold | Store) -> Pass:
        sizes = sizes_of(statement)
        step = Pass(prod(sizes[:-1]))
        if not self._join(step, statement):
            raise Unsupported(f"no rows for {statement}")
        return step

    def _join(self, step: Pass, statement: Statement) -> bool:
        """Take a statement in, with what it still lacks, if all of it stays within rows."""
        before = dict(step.items)
        if self._taken(step, statement):
            return True
        step.items.clear()
        step.items.update(before)
        return False

    def _taken(self, step: Pass, statement: Statement) -> bool:
        if statement in step.items:
            return True
        columns = None if isinstance(statement, Whole) else step.columns_of(statement)
        if columns is None:
            return False
        phase = 0
        for view in statement.reads:
            for maker in self.makers(view.base):
                if maker not in self.done and not self._taken(step, maker):
                    return False
            inside = [step.items[m] for m in self.makers(view.base) if m in step.items]
            if not inside:
                continue
            if len(inside) < len(self.makers(view.base)) or not self._own(step, view.base):
                return False
            found = step.here(view, columns)
            if found is None:
                return False
            same = found[1] and isinstance(view.base, Map)
            phase = max(phase, *(i.phase if same else i.ready for i in inside))
        step.items[statement] = Item(statement, columns, phase)
        return True

    def _own(self, step: Pass, value: Value) -> bool:
        """Whether every row of a pass writes its own row of a value, and no other."""
        if not isinstance(value, Join):
            return True
        if value.size % step.rows:
            return False
        stores = [(s, step.items[s].columns) for s in self.stores[value]]
        return all(step.here(store.into, columns) is not None for store, columns in stores)


def _placed(
    steps: Sequence[Pass | Whole], scheduler: _Scheduler
) -> tuple[dict[Value, tuple[str, int]], int]:
    """Where values lie: arguments and results where they are given, the rest in scratch memory."""
    first: dict[Value, int] = {}
    last: dict[Value, int] = {}
    places: dict[Value, tuple[str, int]] = {}
    root = scheduler.place_of
    for number, step in enumerate(steps):
        statements = [step] if isinstance(step, Whole) else list(step.items)
        for statement in statements:
            for made in _made(statement):
                if isinstance(step, Whole) or _leaves(made, step, scheduler):
                    first.setdefault(root(made), number)
                    last[root(made)] = number
            for view in statement.reads:
                if isinstance(view.base, Input):
                    places[view.base] = ("in", view.base.index)
                elif root(view.base) in first:
                    last[root(view.base)] = number
    for value, index in scheduler.results.items():
        places[root(value)] = ("out", index)
    room = 0
    taken: list[tuple[int, int, int]] = []  # end of life, start, size
    for value in sorted(first, key=lambda v: first[v]):
        if value in places:
            continue
        size, at = -(-value.size // 16) * 16, 0
        taken = [t for t in taken if t[0] >= first[value]]
        for _, start, extent in sorted(taken, key=lambda t: t[1]):
            if at + size <= start:
                break
            at = max(at, start + extent)
        taken.append((last[value], at, size))
        places[value] = ("room", at)
        room = max(room, at + size)
    for value in scheduler.sums:
        places[value] = places[root(value)]
    return places, room


def _made(statement: Statement) -> Sequence[Value]:
    """What a statement writes to."""
    if isinstance(statement, Call):
        return statement.made
    if isinstance(statement, Store):
        return [statement.into.base]
    return [statement.value if isinstance(statement, Onto) else statement]


def _leaves(value: Value, step: Pass, scheduler: _Scheduler) -> bool:
    """Whether anything outside a pass reads what it computes."""
    if isinstance(value, Join | Result):
        return True
    outside = any(user not in step.items for user in scheduler.users.get(value, ()))
    return outside or value in scheduler.results
