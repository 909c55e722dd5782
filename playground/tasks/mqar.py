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

Training may read several sizes (`mix`, `curriculum`). Which one example i has depends on i alone,
so that runs of different seeds stay one program. A batch is as long as its longest example; after
the end of a shorter one stand zeros, which nothing that is scored can see.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Mqar
from playground.tasks.answers import EVAL_SEED, Part, certain, eval_size, score_parts
from playground.tasks.base import IGNORE, Batch, Scoring, check_split
from playground.tasks.counter import below, draws, unit
from playground.tasks.losses import CROSS_ENTROPY

GENERATOR = "mqar-1"  # part of the data's identity: raise it when the same spec gives other tokens
_KEEP = 2  # a query and its answer slot: queries are two tokens apart at least
_GOLDEN = (5**0.5 - 1) / 2  # its multiples fill the unit interval as evenly as can be

Size = tuple[int, int]  # length, pairs


class MqarTask:
    """Examples made on demand; see the module for what they look like.

    Args:
        spec: `playground.spec.tasks.Mqar`.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Mqar) -> None:
        self.spec = spec
        self.vocab = spec.vocab
        self._first_value = spec.vocab // 2
        self._first_filler = spec.vocab - (spec.vocab // 4 if spec.fillers == "reserved" else 0)
        for length, pairs in self.sizes():
            self._check(length, pairs)

    def sizes(self) -> list[Size]:
        """Every size of an example in any split, that of `length` and `pairs` first."""
        spec = self.spec
        others = (*spec.curriculum, *spec.mix, *spec.suite)
        return list(dict.fromkeys([(spec.length, spec.pairs), *((s[0], s[1]) for s in others)]))

    def _check(self, length: int, pairs: int) -> None:
        if min(self._first_value - 1, self._first_filler - self._first_value) < pairs:
            raise DataError(
                "task.vocab",
                f"{self.vocab} has too few keys and values for {pairs} pairs.",
                f"Write at least {4 * pairs + 4}.",
            )
        if (length - 2 * pairs) // _KEEP < pairs:
            raise DataError(
                "task.length",
                f"{length} tokens cannot hold {pairs} pairs and their queries.",
                f"Write at least {4 * pairs}.",
            )

    def data_sha(self) -> str:
        """Identity of the generator; the spec's fields are in the fingerprint already."""
        return hashlib.sha256(f"{GENERATOR} {self.spec!r}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        Returns:
            tokens [size, length]; positions and targets [size, pairs]: queries and their values.
            Of a mixed batch, length and pairs are the largest; targets beyond a smaller example's
            pairs are -100.
        """
        check_split(split)
        first = index * size
        if split != "train":
            return self._examples((self.spec.length, self.spec.pairs), split, seed, first, size)
        parts = []
        for form, group in groupby(range(first, first + size), key=self._size_of):
            members = list(group)
            parts.append(self._examples(form, split, seed, members[0], len(members)))
        return parts[0] if len(parts) == 1 else _padded(parts)

    def _size_of(self, example: int) -> Size:
        """The size of a training example: easier ones first, then the mix block by block."""
        spec = self.spec
        for length, pairs, count in spec.curriculum:
            if example < count:
                return length, pairs
            example -= count
        if not spec.mix:
            return spec.length, spec.pairs
        at = (0.5 + example // spec.mix_block * _GOLDEN) % 1 * sum(part[2] for part in spec.mix)
        for length, pairs, share in spec.mix:
            at -= share
            if at < 0:
                return length, pairs
        return spec.mix[-1][:2]

    def _examples(self, form: Size, split: str, seed: int, first: int, count: int) -> Batch:
        length, pairs = form
        gaps = (length - 2 * pairs) // _KEEP
        widths = (pairs, pairs, gaps, length - 2 * pairs)
        raw = draws(GENERATOR, seed, split, first, count, sum(widths))
        for_keys, for_values, for_gaps, for_fillers = np.split(raw, np.cumsum(widths)[:-1], axis=1)
        keys = 1 + _distinct(for_keys, self._first_value - 1)
        values = self._first_value + _distinct(for_values, self._first_filler - self._first_value)
        tokens = np.empty((count, length), np.int64)
        tokens[:, 0 : 2 * pairs : 2] = keys
        tokens[:, 1 : 2 * pairs : 2] = values
        tokens[:, 2 * pairs :] = self._fill(for_fillers, np.concatenate([keys, values], axis=1))
        positions = 2 * pairs + _KEEP * self._choose_gaps(for_gaps, pairs)
        np.put_along_axis(tokens, positions, keys, axis=1)
        order = np.argsort(positions, axis=1)
        return Batch(
            tokens=torch.from_numpy(tokens),
            targets=torch.from_numpy(np.take_along_axis(values, order, axis=1)),
            positions=torch.from_numpy(np.take_along_axis(positions, order, axis=1)),
        )

    def _choose_gaps(self, raw: NDArray[np.uint64], pairs: int) -> NDArray[np.int64]:
        """[B, pairs] different gaps; the smallest of exponential clocks is a weighted draw."""
        weights = np.arange(1, raw.shape[1] + 1, dtype=np.float64) ** (self.spec.gap_power - 1)
        return np.argsort(-np.log(unit(raw)) / weights, axis=1)[:, :pairs]

    def _fill(self, raw: NDArray[np.uint64], used: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.spec.fillers == "zero":
            return np.zeros(raw.shape, np.int64)
        if self.spec.fillers == "reserved":
            return self._first_filler + below(raw, self.vocab - self._first_filler)
        return _avoiding(below(raw, self.vocab - used.shape[1]), used, self.vocab)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model at the queries of `test_examples` fixed examples of every size.

        Args:
            split: "train" (the stream of seed 0), "val" or "test"; `suite` is scored on test.
            batches: at most so many batches of each size; None for all.

        Returns:
            "loss" (nats per query), "accuracy" (fraction of queries), "solved" (fraction of
            examples with every query right), "tokens" (queries scored); with a suite all but the
            last also as "accuracy@128x8", and "accuracy@suite", the mean over its sizes.
        """
        check_split(split)
        parts = {"": self._part(split, (self.spec.length, self.spec.pairs))}
        if split == "test":
            parts |= {f"{n}x{pairs}": self._part(split, (n, pairs)) for n, pairs in self.spec.suite}
        return score_parts(parts, batches=batches)

    def _part(self, split: str, form: Size) -> Part:

        def examples(first: int, count: int) -> Batch:
            """Those of one size."""
            return self._examples(form, split, EVAL_SEED, first, count)

        total = self.spec.test_examples
        return Part(examples=examples, total=total, size=eval_size(form[1] * self.vocab))

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
            **dict(self._sizes_told()),
        }

    def _sizes_told(self) -> Iterator[tuple[str, list[list[float]]]]:
        for name in ("curriculum", "mix", "suite"):
            if found := getattr(self.spec, name):
                yield name, [list(one) for one in found]


class Oracle:
    """Solves MQAR by looking the key up; a task on which it misses is wrong. No parameters."""

    def __init__(self, spec: Mqar) -> None:
        self.spec = spec

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n, vocab]: 0 for what followed the key's first place, -100 for the rest."""
        asked = tokens.gather(1, positions)
        first = (asked[:, :, None] == tokens[:, None, :]).int().argmax(-1)
        return certain(tokens.gather(1, first + 1), self.spec.vocab)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()


def _padded(parts: Sequence[Batch]) -> Batch:
    """One batch of examples of several sizes."""
    length = max(part.tokens.shape[1] for part in parts)
    count = max(part.targets.shape[1] for part in parts)
    tokens, targets, positions = [], [], []
    for part in parts:
        assert part.positions is not None
        more = count - part.targets.shape[1]
        tokens.append(F.pad(part.tokens, (0, length - part.tokens.shape[1])))
        targets.append(F.pad(part.targets, (0, more), value=IGNORE))
        last = part.positions[:, -1:].expand(-1, more)
        positions.append(torch.cat([part.positions, last], dim=1))
    return Batch(
        tokens=torch.cat(tokens), targets=torch.cat(targets), positions=torch.cat(positions)
    )


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
