"""Scoring of tasks whose examples end in answers: at given positions, all or nothing per example.

Greedy decoding gives an answer of several tokens exactly when every one of its tokens is the most
likely one after the right tokens before it, so one pass over the example with its answer tells
what generation would.
"""

from collections.abc import Callable

import torch

from playground.tasks.base import IGNORE, Ask, Batch, Scoring, summed_loss

EVAL_SEED = 0  # val and test are the same examples for every run
EVAL_SIZE = 250  # examples scored at once


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


def certain(answers: torch.Tensor, vocab: int) -> torch.Tensor:
    """What an oracle says: logits [B, n, vocab], 0 for its answers [B, n] and -100 for the rest."""
    logits = torch.full((*answers.shape, vocab), -100.0)
    return logits.scatter_(-1, answers[..., None], 0.0)
