"""Which tokens an evaluation reads, in which order: streams with carried state, or windows."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from playground.tasks.base import IGNORE, Batch
from playground.tasks.tokenizers import Encoded

ROWS = 16  # parallel streams, or windows scored at once
WINDOWS_PER_STREAM = 8  # a stream has at least so many windows, or there are fewer streams


@dataclass(frozen=True, kw_only=True)
class Step:
    """One batch of an evaluation: row r reads tokens[starts[r]:stops[r]], the next ones score."""

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def stream_count(tokens: int, length: int) -> int:
    """How many parallel streams a split of so many tokens is cut into."""
    return max(1, min(ROWS, tokens // (WINDOWS_PER_STREAM * length)))


def stream_steps(tokens: int, length: int, batches: int | None = None) -> list[Step]:
    """Equal streams read side by side; fewer tokens than there are streams stay unread.

    Args:
        tokens: of the split, at least 2.
        length: of a window.
        batches: only the first so many windows of every stream; None for all.
    """
    rows = stream_count(tokens, length)
    share = (tokens - 1) // rows  # one token more is needed as the last target
    first = np.arange(rows, dtype=np.int64) * share
    return [
        Step(starts=first + at, stops=first + min(at + length, share))
        for at in range(0, share, length)[:batches]
    ]


def window_steps(tokens: int, length: int, batches: int | None = None) -> list[Step]:
    """Windows side by side that cover the split once, each read from a fresh state.

    Args:
        tokens: of the split, at least 2.
        length: of a window; the last one may be shorter.
        batches: only so many batches, spread evenly over the split; None for all.
    """
    starts = np.arange(0, tokens - 1, length, dtype=np.int64)
    stops = np.minimum(starts + length, tokens - 1)
    if batches is not None and batches * ROWS < len(starts):
        chosen = np.linspace(0, len(starts) - 1, batches * ROWS).round().astype(np.int64)
        starts, stops = starts[chosen], stops[chosen]
    # Empty windows fill the last batch up: one shape, so that a compiled model is compiled once.
    spare = -len(starts) % ROWS if len(starts) > ROWS else 0
    starts, stops = np.pad(starts, (0, spare)), np.pad(stops, (0, spare))
    return [
        Step(starts=starts[at : at + ROWS], stops=stops[at : at + ROWS])
        for at in range(0, len(starts), ROWS)
    ]


def read_step(encoded: Encoded, step: Step, length: int) -> tuple[Batch, int]:
    """The batch of one step and the bytes of text its scored tokens stand for.

    A window shorter than `length` is filled up at its end with unscored tokens 0, which nothing
    before them can see.
    """
    tokens = encoded.tokens
    at = step.starts[:, None] + np.arange(length)
    scored = at < step.stops[:, None]
    last = len(tokens) - 1
    read = np.where(scored, tokens[np.minimum(at, last)].astype(np.int64), 0)
    targets = np.where(scored, tokens[np.minimum(at + 1, last)].astype(np.int64), IGNORE)
    size = sum(
        encoded.bytes_of(int(start) + 1, int(stop) + 1)
        for start, stop in zip(step.starts, step.stops, strict=True)
    )
    return Batch(tokens=torch.from_numpy(read), targets=torch.from_numpy(targets)), size
