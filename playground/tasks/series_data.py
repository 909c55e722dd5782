"""Where series come from: a csv whose first column is the date, or a small generated source."""

import csv
import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.tasks.counter import draws, unit
from playground.tasks.data_files import read_once

GENERATOR = "seasons-1"
HOURS, CHANNELS = 3000, 3  # of the generated source
PERIODS = (24.0, 168.0)
NOISE, KEPT = 0.3, 0.7  # of its noise: standard deviation of a step, and what stays of the last one

Values = NDArray[np.float64]  # [rows, channels]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Series side by side: values [rows, channels], the channels' names, and the sha256."""

    values: Values
    names: tuple[str, ...]
    sha256: str


def load_table(name: str) -> Table:
    """Read a source once per process.

    Args:
        name: "generated", or a csv; looked up under PLAYGROUND_DATA too.

    Raises:
        DataError: it is not there, or holds something that is no number.
    """
    if name == "generated":
        return _generated()
    return read_once(name, "task.source", _file)


def _file(path: Path, name: str) -> Table:
    where = f"task.source {name}"
    try:
        content = path.read_bytes()
        reader = csv.reader(content.decode("utf-8-sig").splitlines())
        header = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        fix = "Name a csv of numbers whose first column is the date."
        raise DataError(where, f"it cannot be read ({error}).", fix) from error
    if header[:1] != ["date"]:
        problem = (
            f"its first column is called {header[0]!r}, not date." if header else "it is empty."
        )
        raise DataError(where, problem, "Name a csv with a header whose first column is date.")
    if len(header) < 2:
        raise DataError(where, "it has no column beside the date.", "Add one of numbers.")
    if not rows:
        raise DataError(where, "it has a header and no rows.", "Add rows of numbers.")
    return Table(
        values=np.array([_numbers(row, header, line, where) for line, row in rows]),
        names=tuple(header[1:]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _numbers(row: list[str], header: list[str], line: int, where: str) -> list[float]:
    """The values of a row; `line` is its place in the file, from 1."""
    if len(row) != len(header):
        problem = f"line {line} has {len(row)} cells, the header has {len(header)}."
        raise DataError(where, problem, "Give every line a cell for every column.")
    found = []
    for column, cell in zip(header[1:], row[1:], strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            said = f"is {cell!r}, no finite number" if cell.strip() else "is missing"
            problem = f"the value of line {line}, column {column!r}, {said}."
            raise DataError(where, problem, "Write a number there, or remove the line.")
        found.append(value)
    return found


@lru_cache(maxsize=1)
def _generated() -> Table:
    """A daily and a weekly season of each channel's own size and phase, and noise that lasts."""
    sizes = unit(draws(GENERATOR, 0, "sizes", 0, CHANNELS, 2 * len(PERIODS)))
    uniform = unit(draws(GENERATOR, 0, "noise", 0, HOURS, 2 * CHANNELS))
    # two uniform numbers are one normal (Box and Muller)
    radius = np.sqrt(-2 * np.log(uniform[:, :CHANNELS]))
    steps = NOISE * radius * np.cos(2 * np.pi * uniform[:, CHANNELS:])
    noise = np.zeros_like(steps)
    for t in range(1, HOURS):
        noise[t] = KEPT * noise[t - 1] + steps[t]
    return Table(
        values=seasons(np.arange(HOURS), sizes) + noise,
        names=tuple("abc"[:CHANNELS]),
        sha256=hashlib.sha256(GENERATOR.encode()).hexdigest(),
    )


def seasons(hours: NDArray[np.integer], sizes: Values) -> Values:
    """What repeats: [hours, channels]; sizes [channels, 2 n]: n sizes, then n phases, in (0, 1)."""
    count = len(PERIODS)
    turns = hours[:, None, None] / np.array(PERIODS) + sizes[None, :, count:]
    return ((0.5 + sizes[:, :count]) * np.sin(2 * np.pi * turns)).sum(-1)
