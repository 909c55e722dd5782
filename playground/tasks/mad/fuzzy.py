"""Fuzzy in-context recall: a key or a value is one to `motif` different tokens.

Keys are made of 0 to (vocab - 1) // 2 - 1, values of the rest of `vocab` without its last token,
which pads on the left. An answer is every token of the value of a key that was there before; the
last pair is one. Where a key ends, only the value after it shows: an answer is what comes *if* the
key is complete and the value not yet.

fixed: keys and values of every size in every split. paper: keys of the largest size alone in val
and test, as published.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from playground.spec.tasks import MadFuzzyRecall
from playground.tasks.answers import certain
from playground.tasks.base import Batch
from playground.tasks.counter import below
from playground.tasks.mad.base import AbstractMadTask, Ints, Raw, asked_at


class MadFuzzyRecallTask(AbstractMadTask):
    """Recall of a value of several tokens by a key of several tokens."""

    generator = "mad-fuzzy-recall-1"

    def __init__(self, spec: MadFuzzyRecall) -> None:
        super().__init__(spec)
        self.spec, self._keys = spec, (spec.vocab - 1) // 2
        self._values = spec.vocab - 1 - self._keys

    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """See `AbstractMadTask`."""
        most, slots = self.spec.motif, self.spec.length // 2
        widths = (slots, slots, slots * most, slots * most, 1)
        parts = self.draws(split, seed, first, count, *widths)
        sizes = 1 + below(np.stack(parts[:2], axis=-1), most)  # [B, slots, 2]
        if self.paper and split != "train":
            sizes[..., 0] = most
        keys = _different(parts[2].reshape(count, slots, most), self._keys)
        values = self._keys + _different(parts[3].reshape(count, slots, most), self._values)
        before = _first_with(_codes(keys, sizes[..., 0], self._keys))
        again = before < np.arange(slots)
        values = np.take_along_axis(values, before[..., None], axis=1)
        sizes[..., 1] = np.take_along_axis(sizes[..., 1], before, axis=1)
        room = self.spec.length + 1 - 2 * most
        shown = (sizes.sum(-1).cumsum(1) <= room).sum(1)
        probe = (parts[4][:, 0] % shown.astype(np.uint64)).astype(np.int64)
        order = np.tile(np.arange(slots), (count, 1))
        np.put_along_axis(order, shown[:, None], probe[:, None], axis=1)  # after those that fit
        again[np.arange(count), shown] = True
        keys, values = (np.take_along_axis(p, order[..., None], axis=1) for p in (keys, values))
        sizes = np.take_along_axis(sizes, order[..., None], axis=1)
        sizes[np.arange(slots) > shown[:, None]] = 0
        tokens, scored = self._laid_out(keys, values, sizes, again)
        return asked_at(tokens, scored, every=self.paper and split == "train")

    def _laid_out(
        self, keys: Ints, values: Ints, sizes: Ints, again: np.ndarray
    ) -> tuple[Ints, np.ndarray]:
        """All pairs one after another, the last token last: tokens, and which are answers."""
        count, most, end = len(keys), self.spec.motif, self.spec.length + 1
        tokens = np.full((count, end), self.spec.vocab - 1, np.int64)
        scored = np.zeros((count, end), bool)
        ends = sizes.sum(-1).cumsum(1)
        starts = (ends - sizes.sum(-1)) + (end - ends[:, -1:])
        for place in range(most):
            for motif, offset, size in (
                (keys, starts, sizes[..., 0]),
                (values, starts + sizes[..., 0], sizes[..., 1]),
            ):
                row, slot = np.nonzero(place < size)
                at = offset[row, slot] + place
                tokens[row, at] = motif[row, slot, place]
                scored[row, at] = (motif is values) & again[row, slot]
        return tokens, scored

    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess among all tokens of values."""
        return {"any_value": math.log(self._values)}


def _different(raw: Raw, limit: int) -> Ints:
    """[..., n] numbers in [0, limit), different along the last axis."""
    found = np.empty(raw.shape, np.int64)
    for i in range(raw.shape[-1]):
        pick = below(raw[..., i], limit - i)  # the pick-th of those that are left
        for taken in np.moveaxis(np.sort(found[..., :i], axis=-1), -1, 0):
            pick = pick + (pick >= taken)
        found[..., i] = pick
    return found


def _codes(keys: Ints, sizes: Ints, limit: int) -> Ints:
    """[B, slots]: one number for each key, whatever stands after its size."""
    inside = np.arange(keys.shape[-1]) < sizes[..., None]
    weights = (limit + 1) ** np.arange(keys.shape[-1])
    return (np.where(inside, keys + 1, 0) * weights).sum(-1)


def _first_with(codes: Ints) -> Ints:
    """[B, slots]: the first slot with the same key."""
    return (codes[:, :, None] == codes[:, None, :]).argmax(-1)


class Oracle:
    """Reads pair after pair and remembers them; a task on which it misses is wrong."""

    def __init__(self, spec: MadFuzzyRecall) -> None:
        self.spec, self._keys = spec, (spec.vocab - 1) // 2

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, vocab]."""
        answers = [self._read(row) for row in tokens.tolist()]
        return certain(torch.tensor(answers), self.spec.vocab)

    def _read(self, row: Sequence[int]) -> list[int]:
        known: dict[tuple[int, ...], list[int]] = {}
        key, value, said = list[int](), list[int](), list[int]()
        for token in row:
            if token < self._keys:
                if value:
                    known[tuple(key)] = value
                    key, value = [], []
                key = [*key, token]
            elif token < self.spec.vocab - 1:
                value = [*value, token]
            rest = known.get(tuple(key), [])[len(value) :]
            said.append(rest[0] if rest else 0)
        return said

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
