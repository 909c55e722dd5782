"""Memorization: values of keys by a map that is the same in every example, run and split.

Of the vocab - 1 tokens before the marker, the first half are keys and the rest values; an example
is `key marker key marker ...`, and at each marker the value of the key before it is asked for. So
the map must be learned into the weights: nothing in an example tells it.

The two readings differ in their accuracy alone; the published baseline trains on 256 different
examples (`examples: 256`).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from playground.spec.tasks import MadMemorization
from playground.tasks.answers import certain
from playground.tasks.base import Batch
from playground.tasks.counter import below, draws
from playground.tasks.mad.base import AbstractMadTask, Ints, answered


class MadMemorizationTask(AbstractMadTask):
    """A fixed map from keys to values."""

    generator = "mad-memorization-1"

    def __init__(self, spec: MadMemorization) -> None:
        super().__init__(spec)
        self.spec, self._keys = spec, (spec.vocab - 1) // 2
        self.map = self._made()

    def _made(self) -> Ints:
        """[keys]: the value of each, no value twice."""
        values = self.spec.vocab - 1 - self._keys
        raw = draws(self.generator, 0, "map", 0, 1, values)[0]
        return self._keys + np.argsort(raw)[: self._keys]

    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """See `AbstractMadTask`."""
        (raw,) = self.draws(split, seed, first, count, self.spec.length // 2)
        keys = below(raw, self._keys)
        tokens = np.full((count, self.spec.length), self.vocab - 1, np.int64)
        tokens[:, ::2] = keys
        return answered(tokens, self.map[keys], np.arange(1, self.spec.length, 2))

    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess among all values of the map."""
        return {"any_value": math.log(self._keys)}


class Oracle:
    """Knows the map; a task on which it misses is wrong."""

    def __init__(self, task: MadMemorizationTask) -> None:
        self.vocab, self._map = task.vocab, torch.from_numpy(task.map)

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n, vocab]."""
        return certain(self._map[tokens.gather(1, positions - 1)], self.vocab)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
