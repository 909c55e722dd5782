"""One sentence per field that must hold."""

from collections.abc import Sequence

from playground.errors import SpecError


def require(condition: bool, name: str, problem: str, fix: str) -> None:
    """Raise a SpecError of field `name` unless the condition holds."""
    if not condition:
        raise SpecError(name, problem, fix=fix)


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
