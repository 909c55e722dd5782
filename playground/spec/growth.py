"""Lengths of training examples: one of several per batch, and more of them as training goes on."""

from collections.abc import Sequence
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


def summed_length(lengths: Sequence[int], grow_every: int, batches: int) -> float:
    """Tokens of one row of each of the first `batches`, in the mean over the lengths drawn.

    Args:
        lengths: what a batch's length is drawn from, evenly.
        grow_every: after so many batches each of `lengths` joins the ones before it; 0 for all
            from the start.
        batches: how many.
    """
    if not grow_every:
        return batches * fmean(lengths)
    borders = [min(batches, grow_every * part) for part in range(len(lengths))] + [batches]
    return sum(
        (borders[part + 1] - borders[part]) * fmean(lengths[: part + 1])
        for part in range(len(lengths))
    )
