"""What needs no training: one linear map for all channels by least squares, and the last value."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

AT_ONCE = 4096  # windows

Rows = NDArray[np.floating]  # [rows, channels]
Map = NDArray[np.floating]


def linear_map(rows: Rows, lookback: int, horizon: int) -> tuple[Map, Map]:
    """Least squares from a window to what follows it, both without the window's last value.

    All windows of all channels share it.

    Returns:
        [lookback, horizon], and [horizon] that is added.
    """
    size = lookback + 1
    gram, moment = np.zeros((size, size)), np.zeros((size, horizon))
    for windows in _windows(rows, lookback + horizon):
        x, y = windows[:, :lookback], windows[:, lookback:]
        last = x[:, -1:].copy()
        x = np.concatenate([x - last, np.ones_like(last)], axis=1)
        gram += x.T @ x
        moment += x.T @ (y - last)
    found = np.linalg.lstsq(gram, moment, rcond=None)[0]  # the last column of x is zero
    return found[:-1].astype(np.float64), found[-1].astype(np.float64)


def linear_scores(train: Rows, test: Rows, lookback: int, horizon: int) -> tuple[float, float]:
    """MSE and MAE on all windows of test of the map of the windows of train."""
    weight, bias = linear_map(train, lookback, horizon)

    def say(x: Map) -> Map:
        return (x - x[:, -1:]) @ weight + bias + x[:, -1:]

    return _scores(test, lookback, horizon, say)


def persistence_scores(test: Rows, lookback: int, horizon: int) -> tuple[float, float]:
    """MSE and MAE on all windows of test of saying the last value again."""
    return _scores(test, lookback, horizon, lambda x: x[:, -1:])


def _scores(
    test: Rows, lookback: int, horizon: int, say: Callable[[Map], Map]
) -> tuple[float, float]:
    squared = absolute = count = 0.0
    for windows in _windows(test, lookback + horizon):
        off = say(windows[:, :lookback]) - windows[:, lookback:]
        squared += float((off**2).sum())
        absolute += float(np.abs(off).sum())
        count += off.size
    return squared / count, absolute / count


def _windows(rows: Rows, size: int) -> Iterator[Map]:
    """Every window of every channel, many at a time: [n, size] in fp64."""
    for channel in rows.T.astype(np.float64):
        windows = sliding_window_view(channel, size)
        for first in range(0, len(windows), AT_ONCE):
            yield windows[first : first + AT_ONCE]
