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
    # training on several sizes, [length, pairs, share]; nothing: length and pairs alone
    mix: tuple[tuple[int, int, float], ...] = ()
    mix_block: int = 128  # training examples in a row that have one size of the mix
    # easier ones that training begins with, [length, pairs, examples], in order
    curriculum: tuple[tuple[int, int, int], ...] = ()
    suite: tuple[tuple[int, int], ...] = ()  # more sizes scored on test, [length, pairs]

    def __post_init__(self) -> None:
        _check_counts(self.pairs, "pairs")
        _check_counts(self.test_examples, "test_examples")
        _check_counts(self.mix_block, "mix_block")
        require(self.gap_power > 0, "gap_power", f"{self.gap_power} is not above 0.", "Write 0.01.")
        self._check_size(self.length, self.pairs, "length", "vocab")
        for name in ("mix", "curriculum", "suite"):
            for i, (length, pairs, *amount) in enumerate(getattr(self, name)):
                path = f"{name}.{i}"
                _check_counts(pairs, path)
                self._check_size(length, pairs, path, path)
                good = all(one > 0 for one in amount)
                require(good, path, f"{amount} is not above 0.", "Write [128, 8, 1].")

    def _check_size(self, length: int, pairs: int, path: str, vocab_path: str) -> None:
        require(
            4 * pairs <= length,
            path,
            f"{length} tokens cannot hold {pairs} pairs and their queries.",
            f"Write at least 4 * pairs = {4 * pairs}.",
        )
        require(
            self.vocab >= 4 * pairs + 2,
            vocab_path,
            f"{self.vocab} has too few keys and values for {pairs} pairs.",
            f"Write vocab: {4 * pairs + 2} or more.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return self.vocab


def _check_counts(value: int, path: str) -> None:
    require(value >= 1, path, f"{value} is not a positive count.", "Write 1 or more.")
