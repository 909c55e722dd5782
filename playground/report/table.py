"""One table, five ways to write it."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Tone = Literal["", "good", "bad", "muted", "strong"]
_STYLES: Mapping[Tone, str] = {"": "", "good": "green", "bad": "red", "muted": "dim"}
_TEX = {
    "\\": r"\textbackslash{}",
    "\u00b1": r"$\pm$",
    "\u0394": r"$\Delta$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
} | {mark: "\\" + mark for mark in "&%$#_{}"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading; `about` explains it where there is room."""

    title: str
    about: str = ""
    left: bool = False
    optional: bool = False  # may be left out where the table would be too wide


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a person reads, and the numbers behind it under names of their own (for csv)."""

    text: str
    values: Mapping[str, float | int | str | None] = field(default_factory=dict)
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows of equal length."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_markdown(self) -> str:
        """A pipe table."""
        head = [_md(column.title) for column in self.columns]
        rule = [":--" if column.left else "--:" for column in self.columns]
        body = [[_md(cell.text) for cell in row] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body]) + "\n"

    def to_csv(self) -> str:
        """Raw numbers, one column for each named value; empty where a row has none."""
        return csv_of([_merged(row) for row in self.rows])

    def to_tex(self) -> str:
        """A tabular for the package booktabs."""
        align = "".join("l" if column.left else "r" for column in self.columns)
        lines = [
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            _tex_line([column.title for column in self.columns]),
            r"\midrule",
            *(_tex_line([cell.text for cell in row]) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def to_rich(self, width: int | None = None, note: str = "") -> "RichTable":
        """For a terminal; better is green, worse is red.

        Args:
            width: characters there are; optional columns that do not fit are left out, the last
                ones first, and named under the table. None keeps all.
            note: stands under the table too.
        """
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        shown, hidden = self._fitting(width)
        names = ", ".join(self.columns[i].title for i in hidden)
        notes = [note, f"not shown for lack of width: {names}" if hidden else ""]
        under = "; ".join(filter(None, notes))
        table = RichTable(
            title=Text(self.title),
            caption=Text(under) if under else None,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
        )
        for i in shown:
            column, room = self.columns[i], self._width(i)
            justify = "left" if column.left else "right"
            title = "\n".join(textwrap.wrap(column.title, room))
            table.add_column(Text(title), justify=justify, no_wrap=True)
        for row in self.rows:
            cells = (row[i] for i in shown)
            table.add_row(
                *(Text(cell.text, style=_STYLES.get(cell.tone, "bold")) for cell in cells)
            )
        return table

    def _fitting(self, width: int | None) -> tuple[list[int], list[int]]:
        """Which columns are shown and which are left out."""
        shown = list(range(len(self.columns)))
        if width is None:
            return shown, []
        needed = [self._width(i) + 3 for i in shown]  # two blanks and a separator
        for i in reversed(range(len(self.columns))):
            if self.columns[i].optional and sum(needed[at] for at in shown) + 2 > width:
                shown.remove(i)
        return shown, [i for i in range(len(self.columns)) if i not in shown]

    def _width(self, at: int) -> int:
        """Characters of a column: its widest cell, or the widest word of its title."""
        words = self.columns[at].title.split()
        return max(map(len, [*words, *(row[at].text for row in self.rows)]))


def csv_of(rows: Sequence[Mapping[str, float | int | str | None]]) -> str:
    """Raw numbers, one column for each name; empty where a row has none."""
    names: dict[str, float | int | str | None] = {}
    for row in rows:
        names |= row
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(row.get, names) for row in rows)
    return out.getvalue()


def _merged(row: Sequence[Cell]) -> dict[str, float | int | str | None]:
    return {name: value for cell in row for name, value in cell.values.items()}


def _md(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _tex_line(texts: Sequence[str]) -> str:
    escaped = ("".join(_TEX.get(mark, mark) for mark in text) for text in texts)
    return " & ".join(escaped) + r" \\"
