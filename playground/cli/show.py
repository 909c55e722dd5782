"""How results look: tables for people, JSON for programs."""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 220  # characters


def print_json(value: Any) -> None:
    """One JSON document on stdout; what is not finite becomes null."""
    print(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", numbers: bool = True
) -> None:
    """A table on stdout; see `table_of`."""
    console().print(table_of(columns, rows, title=title, numbers=numbers))


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", numbers: bool = True
) -> "Table":
    """A plain table.

    Args:
        columns: headings.
        rows: cells as text.
        title: above it.
        numbers: whether all columns but the first are aligned to the right.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        title_justify="left",
        header_style="bold",
        show_header=any(columns),
        box=None,
        pad_edge=False,
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and place else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def console() -> "Console":
    """Stdout as rich sees it: a terminal as wide as it is, a file as wide as tables need."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one per line."""
    print_table(("", ""), [(name, text(value)) for name, value in pairs.items()], numbers=False)


def text(value: object) -> str:
    """A value in a cell."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        if value and not 1e-3 <= abs(value) < 1e9:
            return f"{value:.4g}"
        return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value)
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds as 1:02:03."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02}"


def rate(tokens_per_s: float | None) -> str:
    """Tokens per second."""
    return "-" if tokens_per_s is None else f"{tokens_per_s:,.0f} tok/s"


def tokens_of(written: str, option: str) -> int:
    """A count such as 512, 16K or 2M; K is 1,024 and M is 1,048,576.

    Raises:
        PlaygroundError: it is none.
    """
    found = re.fullmatch(r"(\d+)([kKmM]?)", written)
    if found is None:
        raise PlaygroundError(f"{option}: {written!r} is no length. Write 512, 16K or 2M.")
    return int(found[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20}[found[2].lower()]


def size(count: float) -> str:
    """A count with k, M, G."""
    if count == float("inf"):
        return "infinite"
    for step, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= step:
            return f"{count / step:.3g}{unit}"
    return f"{count:.0f}"
