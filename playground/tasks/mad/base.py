"""What the six tasks of MAD share: streams of examples, and the two ways of scoring."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from playground.spec.tasks import AbstractMad
from playground.tasks.answers import EVAL_SEED, score_answers
from playground.tasks.base import IGNORE, Batch, Scoring, check_split
from playground.tasks.counter import draws
from playground.tasks.losses import CROSS_ENTROPY

PAPER_SIZE = 128  # examples of a batch that the published accuracy is taken over

Ints = NDArray[np.int64]
Raw = NDArray[np.uint64]


class AbstractMadTask(ABC):
    """Examples made on demand.

    Args:
        spec: one of `playground.spec.tasks.mad`.
    """

    loss = CROSS_ENTROPY
    generator: ClassVar[str]  # part of the data's identity: raised when a spec gives other tokens

    def __init__(self, spec: AbstractMad) -> None:
        self._spec = spec
        self.vocab = spec.symbols() or 0
        self.paper = spec.protocol == "paper"

    def data_sha(self) -> str:
        """Identity of the generator; the spec's fields are in the fingerprint already."""
        return hashlib.sha256(f"{self.generator} {self._spec!r}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        Returns:
            tokens [size, T]; targets, with -100 where nothing is asked: [size, T], or
            [size, n] with positions [size, n] where every example asks at the same n places.
        """
        check_split(split)
        first, distinct = index * size, self._spec.examples
        if split != "train" or not distinct:
            return self.make(split, seed, first, size)
        parts, left = [], size
        while left:
            at = (first + size - left) % distinct
            parts.append(self.make(split, seed, at, min(left, distinct - at)))
            left -= len(parts[-1].tokens)
        return _joined(parts)

    @abstractmethod
    def make(self, split: str, seed: int, first: int, count: int) -> Batch:
        """Examples first to first + count - 1, all different."""

    def draws(self, split: str, seed: int, first: int, count: int, *widths: int) -> list[Raw]:
        """Random numbers of these examples: one [count, width] for each width."""
        raw = draws(self.generator, seed, split, first, count, sum(widths))
        return np.split(raw, np.cumsum(widths)[:-1], axis=1)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model at the answers of `test_examples` fixed examples.

        Args:
            split: "train" (the stream of seed 0), "val" or "test".
            batches: at most so many batches; None for all.

        Returns:
            "loss" (nats per answer), "accuracy" (of the protocol), "solved" (fraction of examples
            with every answer right), "tokens" (answers scored); and "micro_accuracy" in the
            reading of the paper.
        """
        check_split(split)

        def examples(first: int, count: int) -> Batch:
            """Of the stream that all runs are scored on."""
            return self.make(split, EVAL_SEED, first, count)

        total = self._spec.test_examples
        if not self.paper:
            return score_answers(examples, total, batches=batches)
        return _published(score_answers(examples, total, batches=batches, size=PAPER_SIZE))

    @abstractmethod
    def floors(self) -> dict[str, float]:
        """Nats per answer of a guess."""

    def describe(self) -> dict[str, Any]:
        """What is generated and how it is scored."""
        spec = self._spec
        return {
            "task": str(getattr(spec, "kind", "")),
            "sha256": self.data_sha(),
            "protocol": spec.protocol,
            "vocab": self.vocab,
            "length": spec.length,
            "examples": {
                "train": spec.examples or "generated",
                "val": spec.test_examples,
                "test": spec.test_examples,
            },
            "evaluation": "all answers of fixed examples, the same for every run",
        }


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    positions = [part.positions for part in parts if part.positions is not None]
    return Batch(
        tokens=torch.cat([part.tokens for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        positions=torch.cat(positions) if positions else None,
    )


def _published(scoring: Scoring) -> Scoring:
    """An evaluation with the published accuracy; see the package."""
    found, ask = [], next(scoring)
    while True:
        logits = yield ask
        found.append(macro_accuracy(logits, ask.batch.targets))
        try:
            ask = scoring.send(logits)
        except StopIteration as end:
            scores = end.value
            return {**scores, "accuracy": mean(found), "micro_accuracy": scores["accuracy"]}


def macro_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Mean over symbols of the accuracy on each.

    Over those that are a target or a prediction anywhere: one that is predicted and never right
    counts as 0 (torchmetrics' MulticlassAccuracy with its default average).
    """
    scored = targets != IGNORE
    predicted, wanted = logits.argmax(-1).cpu()[scored.cpu()], targets.cpu()[scored.cpu()]
    count = logits.shape[-1]
    asked = torch.bincount(wanted, minlength=count)
    right = torch.bincount(wanted[predicted == wanted], minlength=count)
    there = (asked + torch.bincount(predicted, minlength=count)) > 0
    return (right / asked.clamp(min=1))[there].mean().item()


def asked_at(tokens: Ints, scored: NDArray[np.bool_], *, every: bool = False) -> Batch:
    """Next-token examples.

    Args:
        tokens: [B, N]; the model reads all but the last of them.
        scored: [B, N] bool, the tokens that are answers.
        every: ask for every token, answers or not.
    """
    targets = tokens if every else np.where(scored, tokens, IGNORE)
    return Batch(
        tokens=torch.from_numpy(np.ascontiguousarray(tokens[:, :-1])),
        targets=torch.from_numpy(np.ascontiguousarray(targets[:, 1:])),
    )


def answered(tokens: Ints, answers: Ints, positions: Ints) -> Batch:
    """Examples with one answer after each of `positions` [n], the same in every example."""
    return Batch(
        tokens=torch.from_numpy(tokens),
        targets=torch.from_numpy(answers),
        positions=torch.from_numpy(np.tile(positions, (len(tokens), 1))),
    )
