"""Which of several candidates are best, where best has more than one side."""

from collections.abc import Sequence

import numpy as np


def ranks(points: Sequence[Sequence[float]], ways: Sequence[str]) -> list[int]:
    """0 for points that no other beats on every side, 1 for those that only these beat, and on.

    Args:
        points: one row per candidate; a row with NaN comes last.
        ways: "min" or "max" per column.
    """
    table = np.array(points, np.float64).reshape(len(points), len(ways))
    table = table * np.array([1.0 if way == "min" else -1.0 for way in ways])
    table[np.isnan(table).any(1)] = np.inf
    beats = (table[:, None] <= table[None]).all(-1) & (table[:, None] < table[None]).any(-1)
    found, left, rank = np.full(len(table), -1), np.ones(len(table), bool), 0
    while left.any():
        front = left & ~(beats & left[:, None]).any(0)
        found[front], left[front], rank = rank, False, rank + 1
    return found.tolist()


def best(points: Sequence[Sequence[float]], ways: Sequence[str], count: int) -> list[int]:
    """So many of the points: front after front, within one the best by the first column."""
    sign = 1.0 if ways[0] == "min" else -1.0
    rank = ranks(points, ways)
    order = sorted(range(len(points)), key=lambda i: (rank[i], sign * points[i][0]))
    good = [i for i in order if not any(value != value for value in points[i])]
    return good[:count]
