"""Scoring of answers at the end of examples of many lengths, read in pieces.

A long example is read piece by piece with the state carried, so that memory does not grow with
its length; no logits are made but at its answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from playground.spec.growth import joined
from playground.tasks.base import IGNORE, Ask, Batch, Scores, Scoring, summed_loss
from playground.tasks.counter import below, draws

PIECE = 512  # tokens read at once
ROWS = 50  # examples read side by side


def length_of(
    generator: str, split: str, index: int, lengths: Sequence[int], grow_every: int = 0
) -> int:
    """The length of the examples of a batch; of its index alone, the same for every seed.

    Args:
        generator: names the stream of random numbers, together with `split`.
        split: "train" or another.
        index: of the batch.
        lengths: what is drawn from, evenly.
        grow_every: how these join, see `joined`.
    """
    known = joined(lengths, grow_every, index)
    raw = draws(f"{generator}/length", 0, split, index, 1, 1)
    return known[int(below(raw, len(known))[0, 0])]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of one length with answers at their ends.

    Attributes:
        tokens: [B, T] of any integer type.
        positions: [B, n] int64, ascending; where answer tokens are predicted.
        targets: [B, n] int64, the answer tokens; -100 is not scored.
        groups: [B], names under which each example is counted a second time; "" for none.
        judge: the likeliest tokens [B, n] -> which examples are solved; None asks for every
            token of the answer, which is what greedy decoding would give.
    """

    tokens: NDArray[np.integer]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]
    groups: Sequence[str]
    judge: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None

    def solved(self, found: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which examples are solved by the likeliest tokens [B, n]."""
        if self.judge is not None:
            return self.judge(found)
        return ((found == self.targets) | (self.targets == IGNORE)).all(axis=1)

    def batch(self) -> Batch:
        """All of it at once."""
        return Batch(
            tokens=torch.from_numpy(self.tokens.astype(np.int64)),
            targets=torch.from_numpy(self.targets),
            positions=torch.from_numpy(self.positions),
        )


@dataclass(kw_only=True)
class _Tally:
    """What was counted of one length."""

    loss: float = 0.0
    right: float = 0.0
    asked: int = 0
    solved: list[bool] = field(default_factory=list[bool])
    groups: list[str] = field(default_factory=list[str])

    def scores(self, suffix: str) -> Scores:
        """Named scores; groups in the order of their names."""
        found = {
            f"loss{suffix}": self.loss / max(1, self.asked),
            f"accuracy{suffix}": self.right / max(1, self.asked),
            f"solved{suffix}": float(np.mean(self.solved)),
        }
        for group in sorted(set(self.groups) - {""}):
            chosen = [s for s, g in zip(self.solved, self.groups, strict=True) if g == group]
            found[f"solved{suffix}/{group}"] = float(np.mean(chosen))
        return found


def score_lengths(
    examples: Callable[[int, int, int], Examples],
    totals: Mapping[int, int],
    *,
    piece: int = PIECE,
    batches: int | None = None,
) -> Scoring:
    """Score a model at the ends of fixed examples of several lengths.

    Args:
        examples: (length, first, count) -> those examples.
        totals: length -> how many examples of it there are, in the order of scoring; the first
            one also gives the scores that name no length.
        piece: tokens read at once, at least as many as the answer has.
        batches: at most so many batches of each length; None for all.

    Returns:
        "loss" (nats per answer token), "accuracy" (fraction of answer tokens), "solved" (fraction
        of examples), "tokens" (answer tokens scored) of the first length; the same for every
        length as "solved@4096", and "solved@4096/GROUP" where examples have groups.
    """
    plan = {length: range(0, total, min(ROWS, total))[:batches] for length, total in totals.items()}
    asks = sum(len(firsts) * len(_cuts(length, piece)) for length, firsts in plan.items())
    done, tallies = 0, {length: _Tally() for length in plan}
    for length, firsts in plan.items():
        for first in firsts:
            made = examples(length, first, firsts.step)
            logits = torch.zeros(0)
            for start, part in _pieces(made, piece):
                done += 1
                carry = made.tokens.shape[1] > piece
                logits = yield Ask(batch=part, carry=carry, begin=start == 0, done=done, total=asks)
            _count(tallies[length], made, logits, totals[length] - first)
    main = next(iter(tallies.values()))
    scores = main.scores("")
    for length, tally in tallies.items():
        scores |= tally.scores(f"@{length}")
    return {**scores, "tokens": float(main.asked)}


def _count(tally: _Tally, made: Examples, logits: torch.Tensor, left: int) -> None:
    """Count the first `left` examples; the last batch is filled up with more, to one shape."""
    targets = torch.from_numpy(made.targets[:left]).to(logits.device)
    found = logits.argmax(-1)
    scored = targets != IGNORE
    tally.loss += summed_loss(logits[:left], targets)
    tally.right += float(((found[:left] == targets) & scored).sum())
    tally.asked += int(scored.sum())
    tally.solved += made.solved(found.cpu().numpy())[:left].tolist()
    tally.groups += made.groups[:left]


def _cuts(length: int, piece: int) -> list[int]:
    """Borders of the pieces after 0: what does not fill a piece comes first."""
    return list(range(length % piece or min(piece, length), length + 1, piece))


def _pieces(made: Examples, piece: int) -> Iterator[tuple[int, Batch]]:
    """The start and the batch of every piece; the last one has all positions.

    Raises:
        ValueError: an answer begins before the last piece.
    """
    start, length = 0, made.tokens.shape[1]
    for stop in _cuts(length, piece):
        positions, targets = made.positions - start, made.targets
        if stop < length:
            positions, targets = positions[:, :0], targets[:, :0]
        elif positions.min() < 0:
            raise ValueError(f"an answer begins before the last {piece} of {length} tokens.")
        yield (
            start,
            Batch(
                tokens=torch.from_numpy(made.tokens[:, start:stop].astype(np.int64)),
                targets=torch.from_numpy(targets),
                positions=torch.from_numpy(positions),
            ),
        )
        start = stop
