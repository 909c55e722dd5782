"""Lengths of training examples: one of several per batch, and more of them as training goes on."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from playground.spec.require import require


def check_growth(grow_every: int, lengths: Sequence[int]) -> None:
    """Refuse a curriculum of training lengths that is none.

    Raises:
        SpecError: naming the field.
    """
    fix = "Write a count of batches, or 0 for all lengths from the start."
    require(grow_every >= 0, "grow_every", f"{grow_every} is negative.", fix)
    problem = f"there is nothing to grow: train_lengths is {list(lengths)}."
    fix = "Write train_lengths: [128, 256, 512]."
    require(grow_every == 0 or len(lengths) > 1, "grow_every", problem, fix)


def joined(lengths: Sequence[int], grow_every: int, index: int) -> Sequence[int]:
    """What the length of a batch of that index is drawn from, evenly.

    Args:
        lengths: all there are, in the order in which they join.
        grow_every: after so many batches each of them joins the ones before it; 0 for all from
            the start.
        index: of the batch.
    """
    return lengths[: 1 + index // grow_every] if grow_every else lengths


def summed_length(lengths: Sequence[int], grow_every: int, batches: int) -> float:
    """Tokens of one row of each of the first `batches`, in the mean over the lengths drawn."""
    last = grow_every * (len(lengths) - 1)
    borders = [*range(0, min(batches, last), grow_every or 1), min(batches, last), batches]
    return sum(
        (end - begin) * fmean(joined(lengths, grow_every, begin))
        for begin, end in pairwise(borders)
    )
