"""From a plan to C++."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import cast

from playground.compile.native.schedule import Access, Item, Pass, Plan, Statement, Store, access
from playground.compile.native.values import (
    Call,
    Const,
    Fold,
    Map,
    Number,
    Onto,
    Product,
    Value,
    View,
)

OPS = {
    "copy": "{0}",
    "count": "{0} + T({place}) * {1}",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "std::fabs({0})",
    "sqrt": "std::sqrt({0})",
    "rsqrt": "T(1) / std::sqrt({0})",
    "exp": "exponential({0})",
    "log": "std::log({0})",
    "erf": "error_function({0})",
    "tanh": "std::tanh({0})",
    "sigmoid": "T(1) / (T(1) + exponential(-{0}))",
    "pow": "std::pow({0}, {1})",
    "sign": "T({0} > 0) - T({0} < 0)",
    "eq": "T({0} == {1})",
    "le": "T({0} <= {1})",
    "gt": "T({0} > {1})",
    "where": "{0} != 0 ? {1} : {2}",
}
RESULTS = {"tables": 4, "tables_back": 3, "solve": 1}  # of the functions in rows.h and prelude.h
FIRST = {"sum": "0", "max": "-INFINITY"}
OPERATION = {"sum": "+", "max": "largest"}
BLOCK, NEAR = 16, 16384  # rows that loops take together, and the bytes that they may keep


def emit(plan: Plan, inputs: int, dtype: str) -> str:
    """A source file whose `run` does the plan for many sequences and heads, run after run."""
    names = {value: f"p{i}" for i, value in enumerate(plan.places)}
    functions, calls = [], []
    for number, step in enumerate(plan.steps):
        if isinstance(step, Product):
            calls.append(_product(step, plan))
        elif isinstance(step, Call):
            calls.append(_call(step, plan))
        else:
            text, used = _Rows(step, plan, names).function(f"step{number}")
            functions.append(text)
            given = ", ".join(_pointer(value, plan) for value in used)
            calls.append(f"step{number}({given});")
    lane = "\n".join(f"  {call}" for call in calls)
    inner = max((_inner(s) for s in plan.steps if isinstance(s, Product | Call)), default=0)
    return "\n".join(
        [
            f"using T = {dtype};",
            '#include "prelude.h"',
            '#include "rows.h"',
            f"constexpr long ROOM = {plan.room}, PACKED = {inner} * PANEL<T>;",
            f"constexpr int INPUTS = {inputs};",
            *functions,
            "static void lane(T* const* in, T* const* out, T* room, T* packed) {",
            lane,
            "}",
            '#include "run.h"',
            "",
        ]
    )


def _pointer(value: Value, plan: Plan, offset: int = 0) -> str:
    kind, index = plan.places[value]
    if kind == "room":
        return f"room + {index + offset}"
    return f"{kind}[{index}] + {offset}" if offset else f"{kind}[{index}]"


def _inner(step: Product | Call) -> int:
    """Rows of the right factors that a step packs."""
    return step.a.sizes[2] if isinstance(step, Product) else step.sizes[1]


def _call(step: Call, plan: Plan) -> str:
    """A function of a header, table after table."""
    count, *sizes = step.sizes
    given = ["(T*)nullptr" if v is None else _pointer(v.base, plan, v.offset) for v in step.args]
    made = [_pointer(value, plan) for value in step.made]
    made += ["(T*)nullptr"] * (RESULTS[step.name] - len(made))
    room = ["packed"] if step.name == "solve" else []
    arguments = ", ".join(["i", *map(str, sizes), *given, *made, *room])
    return f"for (long i = 0; i < {count}; ++i) {step.name}<T, T>({arguments});"


def _product(step: Product, plan: Plan) -> str:
    (count, rows, columns), inner = step.shape, step.a.sizes[2]
    lines, into = [], step.value if isinstance(step, Onto) else step
    for i in range(count):
        a, b = (_pointer(v.base, plan, v.offset + i * v.strides[0]) for v in (step.a, step.b))
        strides = ", ".join(str(s) for v in (step.a, step.b) for s in v.strides[1:])
        c = _pointer(into, plan, i * rows * columns)
        sizes = f"{rows}, {columns}, {inner}"
        limits = ", ".join(_limits(step, plan))
        lines.append(f"product<T>({c}, {a}, {b}, {sizes}, {strides}, packed{limits});")
    return "\n  ".join(lines)


def _limits(step: Product, plan: Plan) -> Iterator[str]:
    """What of its factors is zero, and of itself not asked; what it is added to with which sign."""
    made = step.product if isinstance(step, Onto) else step
    band, asked = plan.left.get(made), plan.asked.get(made)
    if band is None and asked is None and made is step:
        return
    yield ""
    yield str(band.shift) if band is not None and band.lower else "ALL"
    yield str(band.shift) if band is not None and not band.lower else "ALL"
    yield "ALL" if asked is None else str(asked)
    if isinstance(step, Onto):
        yield str(step.sign)


def _number(number: Number) -> str:
    if math.isnan(number) or math.isinf(number):
        return {"nan": "T(NAN)", "inf": "T(INFINITY)", "-inf": "T(-INFINITY)"}[str(float(number))]
    return f"T({float(number)!r})"


class _Rows:
    """A pass as a function: block of rows after block, loop after loop.

    A loop goes over the rows of a block, and in each over columns; what has one column goes over
    rows only, many at once. So sums of one row wait for no other's, and roots and quotients of rows
    are taken together. Between loops rows and numbers of a block lie in the nearest cache.
    """

    def __init__(self, step: Pass, plan: Plan, names: dict[Value, str]) -> None:
        self.step, self.plan, self.names = step, plan, names
        self.used: dict[Value, bool] = {}  # and whether it is written
        self.starts: dict[tuple[Value, Access], str] = {}  # of the loop that is being written
        self.locals: dict[Value, str] = {}
        self.kept = dict.fromkeys(self._across())
        of_row = 8 * sum(map(self._width, self.kept))  # bytes, of the widest type
        self.block = min(step.rows, BLOCK, max(1, NEAR // of_row)) if of_row else step.rows

    def _across(self) -> Iterator[Value]:
        """Rows and numbers that a later loop reads, and that lie nowhere else."""
        for item in self.step.items.values():
            for view in item.statement.reads:
                maker = self.step.maker(view.base)
                if maker is None or not self._outside_loop(maker, item):
                    continue
                if self._single(view.base) or view.base not in self.plan.places:
                    yield view.base

    def _single(self, value: Value) -> bool:
        """Whether it is one number a row."""
        return isinstance(value, Fold) or self.step.items[cast("Statement", value)].columns == 1

    def _width(self, value: Value) -> int:
        """Numbers of a row."""
        return 1 if self._single(value) else self.step.width(value)

    def _outside_loop(self, maker: Item, item: Item) -> bool:
        """Whether a loop reads what another has made; sums are there when their loop is over."""
        later = isinstance(maker.statement, Fold)
        return later or maker.phase != item.phase or maker.columns != item.columns

    def function(self, name: str) -> tuple[str, list[Value]]:
        """Its text, and the values whose addresses it is given."""
        items = sorted(self.step.items.values(), key=lambda i: i.phase)
        body: list[str] = []
        for _, phase in groupby(items, key=lambda i: i.phase):
            members = list(phase)
            for columns in sorted({i.columns for i in members}):  # single numbers first
                body += self._rows([i for i in members if i.columns == columns], columns)
        rooms = [f"T {self._name(v)}[{self.block * self._width(v)}];" for v in self.kept]
        parameters = ", ".join(
            f"{'T' if written else 'const T'}* __restrict {self.names[value]}"
            for value, written in self.used.items()
        )
        lines = [
            f"static __attribute__((noinline)) void {name}({parameters}) {{",
            *(f"  {line}" for line in [*rooms, *self._blocks(body)]),
            "}",
        ]
        return "\n".join(lines), list(self.used)

    def _blocks(self, body: list[str]) -> list[str]:
        rows, block = self.step.rows, self.block
        if block == rows:
            return [f"const long b = 0, count = {rows};", *body]
        count = f"std::min<long>({block}, {rows} - b)" if rows % block else str(block)
        head = f"for (long b = 0; b < {rows}; b += {block}) {{"
        return [head, f"  const long count = {count};", *(f"  {line}" for line in body), "}"]

    def _rows(self, items: Sequence[Item], columns: int) -> list[str]:
        """A loop over the rows of a block."""
        self.starts = {}
        if columns == 1:
            inside = [line for item in items for line in self._line(item, "0")]
        else:
            inside = self._loop(items, columns)
        starts = [f"const long {name} = {_start(a)};" for (_, a), name in self.starts.items()]
        return [
            *(["#pragma omp simd"] if columns == 1 else []),
            "for (long q = 0; q < count; ++q) {",
            *(f"  {line}" for line in ["const long r = b + q;", *starts, *inside]),
            "}",
        ]

    def _id(self, value: Value) -> str:
        return self.locals.setdefault(value, str(len(self.locals)))

    def _name(self, value: Value) -> str:
        return f"row{self._id(value)}"

    def _loop(self, items: Sequence[Item], columns: int) -> list[str]:
        folds = [i.statement for i in items if isinstance(i.statement, Fold)]
        before = [f"T v{self._id(f)} = {FIRST[f.op]};" for f in folds]
        clauses = [f"reduction({OPERATION[f.op]}:v{self._id(f)})" for f in folds]
        inside = [line for item in items for line in self._line(item, "j")]
        after = [line for f in folds for line in self._laid(f, "0")]
        return [
            *before,
            f"#pragma omp simd {' '.join(clauses)}",
            f"for (int j = 0; j < {columns}; ++j) {{",
            *(f"  {line}" for line in inside),
            "}",
            *after,
        ]

    def _laid(self, value: Map | Fold, j: str) -> Iterator[str]:
        """Where a number that is made goes, if another loop or step reads it."""
        if value in self.kept:
            yield f"{self._kept(value, j)} = v{self._id(value)};"
        if value in self.plan.places:
            column = 0 if j == "0" else 1
            place = self._place(value, Access(0, self._own(value), column), j, True)
            yield f"{place} = v{self._id(value)};"

    def _kept(self, value: Value, column: str) -> str:
        width = self._width(value)
        at = "q" if width == 1 else f"q * {width}"
        return f"{self._name(value)}[{at}{'' if column == '0' else f' + {column}'}]"

    def _own(self, value: Value) -> tuple[tuple[int, int], ...]:
        return ((self.step.rows, self.step.width(value)),) if self.step.rows > 1 else ()

    def _line(self, item: Item, j: str) -> list[str]:
        statement = item.statement
        if isinstance(statement, Store):
            place = self._place(statement.into.base, access(statement.into, item.columns), j, True)
            return [f"{place} = {self._read(statement.what, item)};"]
        assert isinstance(statement, Map | Fold)
        name = f"v{self._id(statement)}"
        if isinstance(statement, Fold):
            found = self._read(statement.arg, item)
            if statement.op == "sum":
                return [f"{name} += {found};"]
            return [f"{name} = greatest<T>({name}, {found});"]
        args = [self._read(view, item) for view in statement.args]
        found = OPS[statement.op].format(*args, place=f"r * {item.columns} + {j}")
        return [f"const T {name} = {found};", *self._laid(statement, j)]

    def _read(self, view: View, item: Item) -> str:
        """An element of a view, at the row and column of a statement."""
        if isinstance(view.base, Const):
            return _number(view.base.number)
        j = "0" if item.columns == 1 else "j"
        maker = self.step.maker(view.base)
        at = access(view, item.columns)
        if maker is None:
            return self._place(view.base, at, j, False)
        if not self._outside_loop(maker, item):
            return f"v{self._id(view.base)}"
        if self._single(view.base):
            return self._kept(view.base, "0")
        if view.base in self.plan.places:
            return self._place(view.base, at, j, False)
        return self._kept(view.base, _column(at, j))

    def _place(self, value: Value, at: Access, j: str, written: bool) -> str:
        """An element of memory."""
        self.used[value] = self.used.get(value, False) or written
        key = (value, Access(at.offset, at.rows, 0))
        start = self.starts.setdefault(key, f"o{len(self.starts)}")
        column = "" if j == "0" or at.column == 0 else f" + {_times(j, at.column)}"
        return f"{self.names[value]}[{start}{column}]"


def _column(at: Access, j: str) -> str:
    return " + ".join([*([_times(j, at.column)] if at.column and j != "0" else []), str(at.offset)])


def _times(j: str, stride: int) -> str:
    return j if stride == 1 else f"{j} * {stride}"


def _start(at: Access) -> str:
    """Where row r begins."""
    parts, inner = [str(at.offset)], 1
    for number, (size, stride) in enumerate(reversed(at.rows)):
        index = "r" if inner == 1 else f"r / {inner}"
        if number < len(at.rows) - 1:
            index = f"({index}) % {size}"
        inner *= size
        if stride:
            parts.append(f"({index}) * {stride}")
    return " + ".join(parts)
