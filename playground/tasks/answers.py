"""Scoring of tasks whose examples end in answers: at given positions, all or nothing per example.

Greedy decoding gives an answer of several tokens exactly when every one of its tokens is the most
likely one after the right tokens before it, so one pass over the example with its answer tells
what generation would.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from statistics import mean

import torch
from torch import Tensor

from playground.tasks.base import IGNORE, Ask, Batch, Scores, Scoring, summed_loss

EVAL_SEED = 0  # val and test are the same examples for every run
EVAL_SIZE = 250  # examples scored at once
LOGITS = 1 << 24  # of one batch, at most


def score_answers(
    examples: Callable[[int, int], Batch],
    total: int,
    *,
    batches: int | None = None,
    size: int = EVAL_SIZE,
) -> Scoring:
    """Score a model at the answers of fixed examples.

    Args:
        examples: (first, count) -> those examples; targets are -100 where nothing is asked.
        total: how many there are.
        batches: at most so many batches; None for all.
        size: examples of a batch.

    Returns:
        "loss" (nats per answer token), "accuracy" (fraction of answer tokens), "solved" (fraction
        of examples with every answer token right), "tokens" (answer tokens scored).
    """
    starts = range(0, total, size)[:batches]
    loss, right, asked, solved, seen = 0.0, 0.0, 0.0, 0.0, 0
    for done, first in enumerate(starts, start=1):
        part = examples(first, min(size, total - first))
        logits = yield Ask(batch=part, carry=False, done=done, total=len(starts))
        targets = part.targets.to(logits.device)
        loss += summed_loss(logits, targets)
        scored, hits = targets != IGNORE, logits.argmax(-1) == targets
        right += float((hits & scored).sum())
        asked += float(scored.sum())
        solved += float((hits | ~scored).all(dim=1).sum())
        seen += len(targets)
    return {
        "loss": loss / asked,
        "accuracy": right / asked,
        "solved": solved / seen,
        "tokens": asked,
    }


def eval_size(logits: int) -> int:
    """How many examples are scored at once, of so many logits each."""
    return min(EVAL_SIZE, max(1, LOGITS // logits))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Fixed examples of one size, scored beside others.

    Attributes:
        examples: (first, count) -> those examples; targets are -100 where nothing is asked.
        total: how many there are.
        size: examples of a batch.
    """

    examples: Callable[[int, int], Batch]
    total: int
    size: int = EVAL_SIZE


def score_parts(parts: Mapping[str, Part], *, batches: int | None = None) -> Scoring:
    """Score a model at the answers of several sets of examples.

    Args:
        parts: the one named "" gives the scores without a name; the others are a suite.
        batches: at most so many batches of each; None for all.

    Returns:
        As `score_answers` for the part named ""; for every other "loss@NAME", "accuracy@NAME" and
        "solved@NAME"; and of these "accuracy@suite", their mean. "tokens" counts all.
    """
    counts = {n: len(range(0, part.total, part.size)[:batches]) for n, part in parts.items()}
    scores: Scores = {"tokens": 0.0}
    accuracies, done = [], 0
    for name, part in parts.items():
        one = score_answers(part.examples, part.total, batches=batches, size=part.size)
        found = yield from _renumbered(one, done, sum(counts.values()))
        done += counts[name]
        scores["tokens"] += found.pop("tokens")
        scores |= {f"{key}@{name}" if name else key: value for key, value in found.items()}
        accuracies += [found["accuracy"]] if name else []
    return scores | ({"accuracy@suite": mean(accuracies)} if accuracies else {})


def _renumbered(scoring: Scoring, before: int, total: int) -> Generator[Ask, Tensor, Scores]:
    """An evaluation as a part of a longer one."""
    ask = next(scoring)
    while True:
        logits = yield replace(ask, done=before + ask.done, total=total)
        try:
            ask = scoring.send(logits)
        except StopIteration as end:
            return end.value


def certain(answers: torch.Tensor, vocab: int) -> torch.Tensor:
    """What an oracle says: logits [B, n, vocab], 0 for its answers [B, n] and -100 for the rest."""
    logits = torch.full((*answers.shape, vocab), -100.0)
    return logits.scatter_(-1, answers[..., None], 0.0)
