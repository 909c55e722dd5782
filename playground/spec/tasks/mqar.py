"""What a person writes of multi-query associative recall."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from playground.spec.require import require


@dataclass(frozen=True, kw_only=True)
class Mqar:
    """Multi-query associative recall (Zoology, arXiv:2312.04927): recall the value of each key."""

    kind: ClassVar[str] = "mqar"

    vocab: int = 8192  # half are keys, half are values
    length: int = 64
    pairs: int = 4
    fillers: Literal["reserved", "random", "zero"] = "random"  # tokens between the queries
    gap_power: float = 0.01  # gaps g between a pair and its query follow g ** (gap_power - 1)
    test_examples: int = 1000  # examples of the val split, and again of the test split

    def __post_init__(self) -> None:
        require(
            self.pairs >= 1, "pairs", f"{self.pairs} is not a positive count.", "Write 1 or more."
        )
        require(
            4 * self.pairs <= self.length,
            "length",
            f"{self.length} tokens cannot hold {self.pairs} pairs and their queries.",
            f"Write at least 4 * pairs = {4 * self.pairs}.",
        )
        require(
            self.vocab >= 4 * self.pairs + 2,
            "vocab",
            f"{self.vocab} has too few keys and values for {self.pairs} pairs.",
            f"Write at least 4 * pairs + 2 = {4 * self.pairs + 2}.",
        )
        require(self.gap_power > 0, "gap_power", f"{self.gap_power} is not above 0.", "Write 0.01.")
        require(
            self.test_examples >= 1,
            "test_examples",
            f"{self.test_examples} is not a positive count.",
            "Write 1 or more.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return self.vocab
