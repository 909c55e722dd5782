"""Losses of single tokens added up: over everything, and by how far into the stream they stand."""

import math

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from playground.tasks.base import IGNORE

FIRST = 64  # tokens of the first bucket; every further one is as long as all before it


class Tally:
    """Sums for the scores of a text.

    Args:
        by_position: also the loss in buckets of place: 0-64, 64-128, 128-256 and so on.
    """

    def __init__(self, *, by_position: bool = False) -> None:
        self.by_position = by_position
        self.loss, self.tokens, self.bytes = 0.0, 0, 0
        self.buckets: dict[int, tuple[float, int]] = {}  # first place -> loss, tokens

    def add(self, logits: Tensor, targets: Tensor, places: np.ndarray, size: int) -> None:
        """Take in one batch.

        Args:
            logits: [B, T, L].
            targets: [B, T] int64, -100 where nothing is scored.
            places: [B], tokens of its stream that each row had read before.
            size: bytes that the scored tokens stand for.
        """
        wide = logits.double() if logits.dtype.itemsize > 4 else logits.float()
        target = targets.to(logits.device).flatten()
        each = F.cross_entropy(
            wide.flatten(0, -2), target, ignore_index=IGNORE, reduction="none"
        ).view(targets.shape)
        self.loss += float(each.sum())
        self.tokens += int((targets != IGNORE).sum())
        self.bytes += size
        if self.by_position:
            self._sort(each.cpu().numpy(), targets.numpy() != IGNORE, places)

    def _sort(self, each: np.ndarray, scored: np.ndarray, places: np.ndarray) -> None:
        at = places[:, None] + np.arange(each.shape[1])
        for first in _firsts(int(at.max())):
            inside = scored & (at >= first) & (at < _after(first))
            if count := int(inside.sum()):
                loss, tokens = self.buckets.get(first, (0.0, 0))
                self.buckets[first] = (loss + float(each[inside].sum()), tokens + count)

    def scores(self) -> dict[str, float]:
        """The scores of a text task; "loss@64-128" and its like are nats per token."""
        mean = self.loss / self.tokens
        found = {
            "loss": mean,
            "bits_per_byte": self.loss / math.log(2) / self.bytes if self.bytes else math.nan,
            # exp overflows beyond 709: a diverged model has an infinite perplexity
            "perplexity": math.exp(mean) if mean < 700 else math.inf,
            "tokens": float(self.tokens),
            "bytes": float(self.bytes),
        }
        for first, (loss, tokens) in sorted(self.buckets.items()):
            found[f"loss@{first}-{_after(first)}"] = loss / tokens
        return found


def _firsts(last: int) -> list[int]:
    found = [0]
    while _after(found[-1]) <= last:
        found.append(_after(found[-1]))
    return found


def _after(first: int) -> int:
    return max(FIRST, 2 * first)
