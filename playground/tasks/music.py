"""Polyphonic music: which of 88 keys sound in the next frame (arXiv:1206.6392, 1803.01271).

Protocol: the model reads frame t and says a chance for every key of frame t + 1, so the first
frame of a piece is not scored. The loss is the negative log-likelihood of a frame, summed over its
88 keys, in nats; of a split the mean over all its scored frames. Evaluation reads whole pieces,
each from a fresh state.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.spec.tasks import Music
from playground.spec.tasks.music import KEYS
from playground.tasks.base import SPLITS, Ask, Batch, Scoring, check_split
from playground.tasks.counter import below, draws, order
from playground.tasks.losses import BERNOULLI, IGNORE
from playground.tasks.piano_rolls import Roll, load_rolls

ROWS = 39  # pieces scored at once


class MusicTask:
    """Pieces of piano rolls.

    Args:
        spec: `playground.spec.tasks.Music`.

    Raises:
        DataError: the source cannot be read.
    """

    loss = BERNOULLI
    vocab = 0

    def __init__(self, spec: Music) -> None:
        self.spec = spec
        self.rolls = load_rolls(spec.source)

    def data_sha(self) -> str:
        """sha256 of the file, or of the generator."""
        return self.rolls.sha256

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Pieces in an order that is new in every pass over the split; of long ones a random part.

        Returns:
            tokens and targets [size, length, 88]; what lies behind a piece's end is not scored.
        """
        check_split(split)
        pieces, count = self.rolls.parts[split], len(self.rolls.parts[split])
        raw = draws("music", seed, split, index * size, size, 2)
        chosen = []
        for i, row in zip(range(index * size, (index + 1) * size), raw, strict=True):
            piece = pieces[order("music", seed, split, i // count, count)[i % count]]
            chosen.append(self._example(piece, row, moved=split == "train"))
        return padded(chosen, self.spec.length)

    def _example(self, piece: Roll, raw: NDArray[np.uint64], *, moved: bool) -> Roll:
        spare = len(piece) - self.spec.length  # of `length` + 1 frames the last is a target only
        first = int(below(raw[:1], spare)[0]) if spare > 0 else 0
        part = piece[first : first + self.spec.length + 1]
        if not moved or not self.spec.transpose:
            return part
        sounding = np.flatnonzero(piece.any(axis=0))
        down = min(self.spec.transpose, int(sounding[0])) if len(sounding) else 0
        up = min(self.spec.transpose, KEYS - 1 - int(sounding[-1])) if len(sounding) else 0
        return np.roll(part, int(below(raw[1:], down + up + 1)[0]) - down, axis=1)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score whole pieces.

        Returns:
            "loss" (nats per frame), "tokens" (frames scored).
        """
        check_split(split)
        pieces = self.rolls.parts[split]
        longest = max(len(piece) for piece in pieces) - 1
        starts = range(0, len(pieces), ROWS)[:batches]
        loss, frames = 0.0, 0
        for done, first in enumerate(starts, start=1):
            part = list(pieces[first : first + ROWS])
            # empty pieces fill the last batch up: one shape, so that a model is compiled once
            part += [np.zeros((1, KEYS), np.uint8)] * (min(ROWS, len(pieces)) - len(part))
            batch = padded(part, longest)
            outputs = yield Ask(batch=batch, carry=False, done=done, total=len(starts))
            targets = batch.targets.to(outputs.device)
            loss += self.loss.summed(outputs, targets).item()
            frames += self.loss.scored(targets)
        return {"loss": loss / frames, "tokens": float(frames)}

    def floors(self) -> dict[str, float]:
        """Nats per frame of every key's frequency in training."""
        return {"key_frequency": key_frequency(self.rolls.parts["train"], self.rolls.parts["test"])}

    def describe(self) -> dict[str, Any]:
        """Where the pieces come from, how many there are, how they are scored."""
        parts = self.rolls.parts
        return {
            "task": "music",
            "source": self.spec.source,
            "sha256": self.data_sha(),
            "pieces": {split: len(parts[split]) for split in SPLITS},
            "frames": {split: sum(len(p) for p in parts[split]) for split in SPLITS},
            "scored_frames": {split: sum(len(p) - 1 for p in parts[split]) for split in SPLITS},
            "length": self.spec.length,
            "augmentation": f"moved by up to {self.spec.transpose} semitones"
            if self.spec.transpose
            else "none",
            "evaluation": "whole pieces: nats per frame, over 88 keys, the first frame not scored",
        }


def padded(pieces: list[Roll], length: int) -> Batch:
    """Pieces of at most `length` + 1 frames as one batch: tokens and targets [B, length, 88]."""
    tokens = np.zeros((len(pieces), length, KEYS), np.float32)
    targets = np.full((len(pieces), length, KEYS), IGNORE, np.float32)
    for row, piece in enumerate(pieces):
        tokens[row, : len(piece) - 1] = piece[:-1]
        targets[row, : len(piece) - 1] = piece[1:]
    return Batch(tokens=torch.from_numpy(tokens), targets=torch.from_numpy(targets))


def key_frequency(train: tuple[Roll, ...], text: tuple[Roll, ...]) -> float:
    """Nats per scored frame of `text` where every key has the chance it has in `train`.

    Counted like the scores: without the first frame of each piece, with half a count for each
    answer.
    """
    seen = np.concatenate([piece[1:] for piece in train])
    asked = np.concatenate([piece[1:] for piece in text])
    chance = (seen.sum(axis=0) + 0.5) / (len(seen) + 1)
    on, off = np.log(chance), np.log1p(-chance)
    return float(-(asked @ on + (1 - asked) @ off).mean())
