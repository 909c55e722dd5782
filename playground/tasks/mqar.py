"""Multi-query associative recall (Zoology, arXiv:2312.04927): read pairs, then recall by key.

An example is `k1 v1 k2 v2 ... | fillers with every key once`. At each queried key the model is
asked for its value. A query sits at an even distance 2 g from the end of the pairs, with g drawn
without repetition with probability proportional to (g + 1) ** (gap_power - 1): mostly early.

Token ids: 0 is neither key nor value; keys are 1 to vocab // 2 - 1; values are the rest, except
that `fillers: reserved` takes the last quarter of the vocabulary away from the values.

    reserved   fillers are drawn from that last quarter: never a key or value of any example
    random     fillers are drawn from all ids except the keys and values of the same example
    zero       fillers are 0

The published generator draws its random fillers from all ids, so that a filler may be a key of
the example and overwrite or ask without being scored; here it cannot.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Mqar
from playground.tasks.answers import EVAL_SEED, certain, score_answers
from playground.tasks.base import Batch, Scoring, check_split
from playground.tasks.counter import below, draws, unit
from playground.tasks.losses import CROSS_ENTROPY

GENERATOR = "mqar-1"  # part of the data's identity: raise it when the same spec gives other tokens
_KEEP = 2  # a query and its answer slot: queries are two tokens apart at least


class MqarTask:
    """Examples made on demand; see the module for what they look like.

    Args:
        spec: `playground.spec.tasks.Mqar`.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Mqar) -> None:
        self.spec = spec
        self.vocab = spec.vocab
        self._gaps = (spec.length - 2 * spec.pairs) // _KEEP
        self._first_value = spec.vocab // 2
        self._first_filler = spec.vocab - (spec.vocab // 4 if spec.fillers == "reserved" else 0)
        if min(self._first_value - 1, self._first_filler - self._first_value) < spec.pairs:
            raise DataError(
                "task.vocab",
                f"{spec.vocab} has too few keys and values for {spec.pairs} pairs.",
                f"Write at least {4 * spec.pairs + 4}.",
            )
        if self._gaps < spec.pairs:
            raise DataError(
                "task.length",
                f"{spec.length} tokens cannot hold {spec.pairs} pairs and their queries.",
                f"Write at least {4 * spec.pairs}.",
            )

    def data_sha(self) -> str:
        """Identity of the generator; the spec's fields are in the fingerprint already."""
        return hashlib.sha256(f"{GENERATOR} {self.spec!r}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        Returns:
            tokens [size, length]; positions and targets [size, pairs]: queries and their values.
        """
        check_split(split)
        return self._examples(split, seed, index * size, size)

    def _examples(self, split: str, seed: int, first: int, count: int) -> Batch:
        pairs, length = self.spec.pairs, self.spec.length
        widths = (pairs, pairs, self._gaps, length - 2 * pairs)
        raw = draws(GENERATOR, seed, split, first, count, sum(widths))
        for_keys, for_values, for_gaps, for_fillers = np.split(raw, np.cumsum(widths)[:-1], axis=1)
        keys = 1 + _distinct(for_keys, self._first_value - 1)
        values = self._first_value + _distinct(for_values, self._first_filler - self._first_value)
        gaps = self._choose_gaps(for_gaps)
        tokens = np.empty((count, length), np.int64)
        tokens[:, 0 : 2 * pairs : 2] = keys
        tokens[:, 1 : 2 * pairs : 2] = values
        tokens[:, 2 * pairs :] = self._fill(for_fillers, np.concatenate([keys, values], axis=1))
        positions = 2 * pairs + _KEEP * gaps
        np.put_along_axis(tokens, positions, keys, axis=1)
        order = np.argsort(positions, axis=1)
        return Batch(
            tokens=torch.from_numpy(tokens),
            targets=torch.from_numpy(np.take_along_axis(values, order, axis=1)),
            positions=torch.from_numpy(np.take_along_axis(positions, order, axis=1)),
        )

    def _choose_gaps(self, raw: NDArray[np.uint64]) -> NDArray[np.int64]:
        """[B, pairs] different gaps; the smallest of exponential clocks is a weighted draw."""
        weights = np.arange(1, self._gaps + 1, dtype=np.float64) ** (self.spec.gap_power - 1)
        return np.argsort(-np.log(unit(raw)) / weights, axis=1)[:, : self.spec.pairs]

    def _fill(self, raw: NDArray[np.uint64], used: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.spec.fillers == "zero":
            return np.zeros(raw.shape, np.int64)
        if self.spec.fillers == "reserved":
            return self._first_filler + below(raw, self.vocab - self._first_filler)
        return _avoiding(below(raw, self.vocab - used.shape[1]), used, self.vocab)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model at the queries of `test_examples` fixed examples.

        Args:
            split: "train" (the stream of seed 0), "val" or "test".
            batches: at most so many batches of 250 examples; None for all.

        Returns:
            "loss" (nats per query), "accuracy" (fraction of queries), "solved" (fraction of
            examples with every query right), "tokens" (queries scored).
        """
        check_split(split)
        return score_answers(
            lambda first, count: self._examples(split, EVAL_SEED, first, count),
            self.spec.test_examples,
            batches=batches,
        )

    def floors(self) -> dict[str, float]:
        """Nats per query of a guess among all values, and among the values of the example."""
        return {
            "any_value": math.log(self._first_filler - self._first_value),
            "value_in_context": math.log(self.spec.pairs),
        }

    def describe(self) -> dict[str, Any]:
        """What is generated and how it is scored."""
        return {
            "task": "mqar",
            "sha256": self.data_sha(),
            "vocab": self.vocab,
            "length": self.spec.length,
            "pairs": self.spec.pairs,
            "fillers": self.spec.fillers,
            "keys": [1, self._first_value - 1],
            "values": [self._first_value, self._first_filler - 1],
            "examples": {"train": "generated", "val": self.spec.test_examples}
            | {"test": self.spec.test_examples},
            "evaluation": "all queries of fixed examples, the same for every run",
        }


class Oracle:
    """Solves MQAR by looking the key up; a task on which it misses is wrong. No parameters."""

    def __init__(self, spec: Mqar) -> None:
        self.spec = spec

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n, vocab]: 0 for the value that followed the key, -100 for the rest."""
        split = 2 * self.spec.pairs
        keys, values = tokens[:, 0:split:2], tokens[:, 1:split:2]
        asked = tokens.gather(1, positions)
        which = (asked[:, :, None] == keys[:, None, :]).int().argmax(-1)
        return certain(values.gather(1, which), self.spec.vocab)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()


def _distinct(raw: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """[B, n] integers in [0, limit), different within a row: a shuffle stopped after n steps."""
    rows, picks = raw.shape
    deck = np.tile(np.arange(limit, dtype=np.int32), (rows, 1))
    every = np.arange(rows)
    for j in range(picks):
        at = j + below(raw[:, j], limit - j)
        deck[every, at], deck[:, j] = deck[:, j].copy(), deck[every, at]
    return deck[:, :picks].astype(np.int64)


def _avoiding(ranks: NDArray[np.int64], used: NDArray[np.int64], vocab: int) -> NDArray[np.int64]:
    """The ranks-th ids that are not in `used`, row by row.

    With u the sorted used ids, as many of them lie below the answer as there are u[j] - j <= rank.
    """
    skips = np.sort(used, axis=1) - np.arange(used.shape[1])
    row = np.arange(len(used))[:, None] * vocab  # one sorted list for all rows
    below_all = np.searchsorted((skips + row).ravel(), (ranks + row).ravel(), side="right")
    return ranks + below_all.reshape(ranks.shape) - np.arange(len(used))[:, None] * used.shape[1]
