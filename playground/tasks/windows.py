"""Which tokens an evaluation reads, in which order: streams with carried state, or windows."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from playground.tasks.base import IGNORE, Batch
from playground.tasks.tokenizers import Encoded

ROWS = 16  # parallel streams, or windows scored at once
WINDOWS_PER_STREAM = 8  # a stream has at least so many windows, or there are fewer streams

Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One batch of an evaluation: row r reads tokens[starts[r]:stops[r]], the next ones score.

    Attributes:
        places: tokens that row r has read of its stream before.
        fresh: which rows begin anew, where not all go on from the step before.
    """

    starts: Places
    stops: Places
    places: Places
    fresh: NDArray[np.bool_] | None = None


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
        Step(starts=first + at, stops=first + min(at + length, share), places=np.full(rows, at))
        for at in range(0, share, length)[:batches]
    ]


def document_steps(
    starts: Places, tokens: int, length: int, batches: int | None = None, rows: int = ROWS
) -> list[Step]:
    """Documents read side by side, each from a fresh state: a row that ends takes the next one.

    Args:
        starts: the first token of every document, ascending.
        tokens: of the split.
        length: of a window.
        batches: only the first so many; None for all.
        rows: documents read at once, at most.
    """
    stops = np.append(starts[1:], tokens) - 1  # the last token is a target only
    long = stops > starts
    waiting = zip(starts[long].tolist(), stops[long].tolist(), strict=True)
    rows = max(1, min(rows, int(long.sum())))
    at, stop, place = (np.zeros(rows, np.int64) for _ in range(3))
    steps: list[Step] = []
    while batches is None or len(steps) < batches:
        fresh = np.zeros(rows, np.bool_)
        for row in np.flatnonzero(at >= stop):
            if (found := next(waiting, None)) is not None:
                at[row], stop[row] = found
                place[row], fresh[row] = 0, True
        if (at >= stop).all():
            break
        after = np.minimum(at + length, stop)
        steps.append(Step(starts=at.copy(), stops=after, places=place.copy(), fresh=fresh))
        place, at = place + after - at, after.copy()
    return steps


def endless_steps(
    tokens: int, length: int, total: int, starts: Places | None = None
) -> Iterator[Step]:
    """One stream of `total` scored tokens; the split again from its start where it ends.

    Args:
        tokens: of the split.
        length: of a window.
        total: tokens that are read.
        starts: first tokens of documents that are each read from a fresh state; None for none.
    """
    if starts is None:
        for at in range(0, total, length):
            first = np.array([at], np.int64)
            yield Step(starts=first, stops=np.minimum(first + length, total), places=first)
        return
    done = 0
    for step in itertools.cycle(document_steps(starts, tokens, length, rows=1)):
        size = min(int(step.stops[0] - step.starts[0]), total - done)
        yield Step(
            starts=step.starts, stops=step.starts + size, places=step.places, fresh=step.fresh
        )
        done += size
        if done >= total:
            return


def window_steps(
    tokens: int, length: int, batches: int | None = None, documents: Places | None = None
) -> list[Step]:
    """Windows side by side that cover the split once, each read from a fresh state.

    Args:
        tokens: of the split, at least 2.
        length: of a window; the last one may be shorter.
        batches: only so many batches, spread evenly over the split; None for all.
        documents: first tokens of documents that no window goes across; None for none.
    """
    firsts = np.zeros(1, np.int64) if documents is None else documents
    ends = np.append(firsts[1:], tokens) - 1
    parts = [np.arange(a, b, length) for a, b in zip(firsts, ends, strict=True)]
    starts = np.concatenate(parts).astype(np.int64)
    stops = np.minimum(starts + length, np.repeat(ends, [len(part) for part in parts]))
    if batches is not None and batches * ROWS < len(starts):
        chosen = np.linspace(0, len(starts) - 1, batches * ROWS).round().astype(np.int64)
        starts, stops = starts[chosen], stops[chosen]
    # Empty windows fill the last batch up: one shape, so that a compiled model is compiled once.
    spare = -len(starts) % ROWS if len(starts) > ROWS else 0
    starts, stops = np.pad(starts, (0, spare)), np.pad(stops, (0, spare))
    return [
        Step(
            starts=starts[at : at + ROWS],
            stops=stops[at : at + ROWS],
            places=np.zeros(len(starts[at : at + ROWS]), np.int64),
        )
        for at in range(0, len(starts), ROWS)
    ]


def read_step(encoded: Encoded, step: Step, length: int) -> tuple[Batch, int]:
    """The batch of one step and the bytes of text its scored tokens stand for.

    A window shorter than `length` is filled up at its end with unscored tokens 0, which nothing
    before them can see. A place beyond the end of the text is one of the text read again.
    """
    tokens = encoded.tokens
    at = step.starts[:, None] + np.arange(length)
    scored = at < step.stops[:, None]
    read = np.where(scored, tokens[at % len(tokens)].astype(np.int64), 0)
    targets = np.where(scored, tokens[(at + 1) % len(tokens)].astype(np.int64), IGNORE)
    size = sum(
        _bytes_of(encoded, int(start) + 1, int(stop) + 1)
        for start, stop in zip(step.starts, step.stops, strict=True)
    )
    return Batch(tokens=torch.from_numpy(read), targets=torch.from_numpy(targets)), size


def _bytes_of(encoded: Encoded, start: int, stop: int) -> int:
    """Bytes of tokens start to stop - 1 of a text that is read again and again."""
    count, size = len(encoded.tokens), 0
    while start < stop:
        first = start % count
        last = min(first + stop - start, count)
        size += encoded.bytes_of(first, last)
        start += last - first
    return size
