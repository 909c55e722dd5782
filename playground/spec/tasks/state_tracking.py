"""What a person writes of state tracking by word problems of a group."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from playground.spec.require import require

ORDERS = {"parity": 2, "s3": 6, "s5": 120}  # elements of each group


@dataclass(frozen=True, kw_only=True)
class StateTracking:
    """The product of all group elements so far, at every position (arXiv:2404.08819)."""

    kind: ClassVar[str] = "state_tracking"

    group: Literal["parity", "s3", "s5"] = "parity"  # bits, permutations of 3, of 5
    length: int = 32
    test_lengths: tuple[int, ...] = ()  # more lengths scored on test
    test_examples: int = 500  # of the val split, and of the test split at each length

    def __post_init__(self) -> None:
        for name in ("length", "test_examples"):
            value = getattr(self, name)
            require(value >= 1, name, f"{value} is not a positive count.", "Write 1 or more.")
        good = all(length >= 1 for length in self.test_lengths)
        fix = "Write lengths of 1 or more, such as [64, 128]."
        require(good, "test_lengths", f"{list(self.test_lengths)} has another.", fix)

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return ORDERS[self.group]
