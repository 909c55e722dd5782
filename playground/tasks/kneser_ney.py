"""Interpolated Kneser-Ney n-grams: the floor of word language modelling, vectorised."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from playground.tasks.floors import count_keys

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Level:
    """The distinct k-grams of a text.

    keys: [G] ascending, context * vocab + last token; where: [N] index of the gram that ends at
    each token from the k-th on; counts: [G]; contexts: how many ids the contexts have.
    """

    keys: Ids
    where: Ids
    counts: Ids
    contexts: int


def kneser_ney_loss(
    train: NDArray[np.integer], text: NDArray[np.integer], order: int, vocab: int
) -> float:
    """Mean loss of an interpolated Kneser-Ney n-gram, nats per token.

        P_k(x | h) = (max(c(h x) - D_k, 0) + D_k types(h) P_{k-1}(x | h')) / c(h)

    with h the k - 1 tokens before x, h' without its oldest, and P_0 uniform. In the highest order
    c(h x) counts occurrences, in the others the different tokens seen before h x; c(h) is its sum
    over x, types(h) the number of x with a count. D_k = n1 / (n1 + 2 n2), of the grams with counts
    1 and 2 (Kneser and Ney, 1995, interpolated, one discount per order). Contexts go across line
    ends; those of the first tokens of `text` are shorter.

    Args:
        train: [N] tokens that are counted.
        text: [M] tokens that are scored.
        order: length n of the n-gram, >= 1.
        vocab: number of token ids.

    Raises:
        ValueError: an order below 1, or nothing to count or to score.
    """
    if order < 1 or not len(train) or not len(text):
        raise ValueError(f"order {order} on {len(train)} and {len(text)} tokens has no loss.")
    probability = np.full(len(text), 1.0 / vocab)
    asked = np.zeros(len(text), np.int64)  # id of the context before each token; -1: never seen
    for k, (level, counts) in zip(range(len(text)), _counted(train, order, vocab), strict=False):
        keys, wanted = level.keys, asked * vocab + text[k:]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        hit = (asked >= 0) & (keys[at] == wanted)
        discount, context = _discount(counts), keys // vocab
        total = np.bincount(context, weights=counts, minlength=level.contexts)[asked]
        types = np.bincount(context[counts > 0], minlength=level.contexts)[asked]
        known = (asked >= 0) & (total > 0)
        shorter = np.where(known, discount * types, 1.0) * probability[k:]
        here = np.where(hit, np.maximum(counts[at] - discount, 0.0), 0.0)
        probability[k:] = (here + shorter) / np.where(known, total, 1.0)
        asked = np.where(hit, at, -1)[:-1]
    return float(-np.log(probability).mean())


def _counted(
    train: NDArray[np.integer], order: int, vocab: int
) -> Iterator[tuple[_Level, NDArray[np.float64]]]:
    """The levels from 1 on, each with the counts that Kneser-Ney gives its grams."""
    level: _Level | None = None
    for after in _levels(train, order, vocab):
        if level is not None:
            suffix = np.zeros(len(after.keys), np.int64)
            suffix[after.where] = level.where[1:]  # the gram without its oldest token
            yield level, np.bincount(suffix, minlength=len(level.keys)).astype(np.float64)
        level = after
    if level is not None:
        yield level, level.counts.astype(np.float64)


def _levels(train: NDArray[np.integer], order: int, vocab: int) -> Iterator[_Level]:
    seen, contexts = np.zeros(len(train), np.int64), 1
    for k in range(min(order, len(train))):
        keys, where, counts = count_keys(seen * vocab + train[k:], contexts * vocab)
        yield _Level(keys=keys, where=where, counts=counts, contexts=contexts)
        seen, contexts = where[:-1], len(keys)


def _discount(counts: NDArray[np.float64]) -> float:
    """n1 / (n1 + 2 n2); a half where nothing was seen once or twice."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5
