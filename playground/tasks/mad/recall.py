"""In-context recall, with and without noise: pairs of key and value; a key's value never changes.

An example is `length` tokens in pairs, each a key and its value, or two tokens of noise. Keys are
0 to vocab // 2 - 1, values the rest of `vocab`, noise what comes after. An answer is the value of
a key that was there before; the last pair is one.

Published: a whole number of pairs is noise with a probability each, one excepted that may be the
last, so that an example can be without any pair; here the exception is never the last.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from playground.errors import DataError
from playground.spec.tasks import MadNoisyRecall, MadRecall
from playground.tasks.answers import certain
from playground.tasks.base import Batch
from playground.tasks.counter import below, unit
from playground.tasks.mad.base import AbstractMadTask, Ints, asked_at


class MadRecallTask(AbstractMadTask):
    """Recall of the value of a key that was seen."""

    generator = "mad-recall-1"

    def __init__(self, spec: MadRecall) -> None:
        super().__init__(spec)
        self.spec, self._keys = spec, spec.vocab // 2
        self._noise = spec.noise if isinstance(spec, MadNoisyRecall) else 0.0
        if spec.vocab % 2:
            problem = f"{spec.vocab} is not half keys and half values."
            raise DataError("task.vocab", problem, "Write an even number.")

    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """See `AbstractMadTask`."""
        pairs, keys = self.spec.length // 2, self._keys
        widths = (pairs - 1, keys, pairs - 1, 2 * pairs - 2, 1, 1)
        parts = self.draws(split, seed, first, count, *widths)
        for_keys, for_values, for_noise, for_tokens, for_kept, for_last = parts
        noisy = unit(for_noise) < self._noise
        np.put_along_axis(noisy, below(for_kept, pairs - 1), False, axis=1)
        chosen = below(for_keys, keys)
        chosen = np.concatenate([chosen, _one_of(chosen, ~noisy, keys, for_last[:, 0])], axis=1)
        noisy = np.pad(noisy, ((0, 0), (0, 1)))
        values = keys + below(for_values, keys)
        tokens = np.stack([chosen, np.take_along_axis(values, chosen, axis=1)], axis=-1)
        before = _seen_before(chosen, ~noisy, keys) & ~noisy
        if self._noise:
            noise = self.spec.vocab + below(for_tokens, self.vocab - self.spec.vocab)
            tokens[:, :-1][noisy[:, :-1]] = noise.reshape(count, -1, 2)[noisy[:, :-1]]
        scored = np.stack([np.zeros_like(before), before], axis=-1)
        every = self.paper and split == "train"
        return asked_at(tokens.reshape(count, -1), scored.reshape(count, -1), every=every)

    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess among all values."""
        return {"any_value": math.log(self._keys)}


class MadNoisyRecallTask(MadRecallTask):
    """The same between pairs of noise."""

    generator = "mad-noisy-recall-1"

    def __init__(self, spec: MadNoisyRecall) -> None:
        super().__init__(spec)


def _one_of(chosen: Ints, there: np.ndarray, keys: int, raw: np.ndarray) -> Ints:
    """[B, 1]: one of the different keys that are there, each as likely as another."""
    shown = np.zeros((len(chosen), keys + 1), bool)
    np.put_along_axis(shown, np.where(there, chosen, keys), True, axis=1)
    shown = shown[:, :keys]
    rank = (raw % shown.sum(1).astype(np.uint64)).astype(np.int64)
    return (shown.cumsum(1) == rank[:, None] + 1).argmax(1)[:, None]


def _seen_before(chosen: Ints, there: np.ndarray, keys: int) -> np.ndarray:
    """[B, n] bool: whether a pair further left has the same key."""
    shown = (chosen[..., None] == np.arange(keys)) & there[..., None]
    before = (shown.cumsum(1) - shown) > 0
    return np.take_along_axis(before, chosen[..., None], axis=2)[..., 0]


class Oracle:
    """Says what followed the same token last; a task on which it misses is wrong."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, vocab]."""
        same = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)
        order = torch.arange(tokens.shape[1])
        last = (same * order).argmax(-1)
        return certain(tokens.gather(1, last + 1), self.vocab)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
