"""Selective copy: `copies` symbols between blanks, a marker, then blanks to answer at.

Symbols are 0 to vocab - 3, the blank is vocab - 2, the marker vocab - 1. The i-th blank after the
marker is to be answered with the i-th symbol.

fixed: the symbols' places are any, each as likely as another. paper: each blank goes before a
symbol drawn for it, as published, so that the last symbol always stands right before the marker.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from playground.spec.tasks import MadSelectiveCopy
from playground.tasks.answers import certain
from playground.tasks.base import Batch
from playground.tasks.counter import below
from playground.tasks.mad.base import AbstractMadTask, Ints, Raw, answered


class MadSelectiveCopyTask(AbstractMadTask):
    """Copying of what is not blank."""

    generator = "mad-selective-copy-1"

    def __init__(self, spec: MadSelectiveCopy) -> None:
        super().__init__(spec)
        self.spec = spec

    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """See `AbstractMadTask`."""
        length, copies = self.spec.length, self.spec.copies
        before = length - copies - 1  # tokens before the marker
        for_symbols, for_places = self.draws(split, seed, first, count, copies, before)
        symbols = below(for_symbols, self.vocab - 2)
        tokens = np.full((count, length), self.vocab - 2, np.int64)
        tokens[:, before] = self.vocab - 1
        np.put_along_axis(tokens, self._places(for_places), symbols, axis=1)
        return answered(tokens, symbols, np.arange(before + 1, length))

    def _places(self, raw: Raw) -> Ints:
        """[B, copies], ascending."""
        copies = self.spec.copies
        if not self.paper:
            return np.sort(np.argsort(raw, axis=1)[:, :copies], axis=1)
        ahead = below(raw[:, copies:], copies)  # the symbol that each blank goes before
        return np.arange(copies) + (ahead[:, :, None] <= np.arange(copies)).sum(1)

    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess among all symbols."""
        return {"any_symbol": math.log(self.vocab - 2)}


class Oracle:
    """Repeats what is not blank; a task on which it misses is wrong."""

    def __init__(self, spec: MadSelectiveCopy) -> None:
        self.spec = spec

    def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
        """Logits [B, n, vocab]."""
        symbols = tokens[tokens < self.spec.vocab - 2].reshape(len(tokens), -1)
        assert symbols.shape == positions.shape
        return certain(symbols, self.spec.vocab)

    def start(self, batch: int) -> Sequence[torch.Tensor]:
        """It carries nothing."""
        return ()
