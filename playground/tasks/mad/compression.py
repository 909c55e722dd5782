"""Compression: `length - 1` random symbols and a marker, then questions what stood where.

Symbols are 0 to vocab - 2, the marker is vocab - 1, and vocab + i asks for the token at i. The
questions come in order, and the same model answers them that answers every other task: what it
carries past the marker is what it has compressed the symbols to. Attention without a window
carries all of them, and is no compression.

Published: the model's output at the marker, plus a sinusoid of the position, goes through an MLP
that is trained with it and says the token at each position, the marker too. There the bottleneck
is one vector, here it is the state, so published numbers are of another model in either reading.
fixed: the symbols alone are asked for. paper: the marker too (a question with one answer), scored
as published.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from playground.spec.tasks import MadCompression
from playground.tasks.answers import certain
from playground.tasks.base import Batch
from playground.tasks.counter import below
from playground.tasks.mad.base import AbstractMadTask, answered


class MadCompressionTask(AbstractMadTask):
    """All tokens of an example out of what is carried after it."""

    generator = "mad-compression-1"

    def __init__(self, spec: MadCompression) -> None:
        super().__init__(spec)
        self.spec = spec

    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """See `AbstractMadTask`."""
        length, vocab = self.spec.length, self.spec.vocab
        (raw,) = self.draws(split, seed, first, count, length - 1)
        shown = np.pad(below(raw, vocab - 1), ((0, 0), (0, 1)), constant_values=vocab - 1)
        answers = shown if self.paper else np.ascontiguousarray(shown[:, :-1])
        asked = np.tile(vocab + np.arange(answers.shape[1]), (count, 1))
        tokens = np.concatenate([shown, asked], axis=1)
        return answered(tokens, answers, np.arange(length, tokens.shape[1]))

    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess among all symbols; the marker, where it is asked, is sure."""
        guess = math.log(self.spec.vocab - 1)
        asked = self.spec.length - 1
        return {"any_symbol": guess * asked / (asked + self.paper)}


class Oracle:
    """Looks up what stood there; a task on which it misses is wrong."""

    def __init__(self, spec: MadCompression) -> None:
        self.spec = spec

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n, symbols]."""
        places = tokens.gather(1, positions) - self.spec.vocab
        return certain(tokens.gather(1, places), self.spec.symbols() or 0)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
