"""What a person writes of DNA sequences to be classified."""

from dataclasses import dataclass
from typing import ClassVar

from playground.spec.require import require

SYMBOLS = 7  # fill, A, C, G, T, N, end; the classes come after them


@dataclass(frozen=True, kw_only=True)
class Dna:
    """Classification of DNA sequences (GenomicBenchmarks, doi:10.1186/s12863-023-01123-8)."""

    kind: ClassVar[str] = "dna"

    # generated; a csv with the columns sequence and class; or a folder with train/CLASS/*.txt and
    # test/CLASS/*.txt, or with CLASS/*.txt
    source: str = "generated"
    folds: int = 5  # parts of a source that has no test part of its own; 0: it has one
    fold: int = 0  # the part that is test
    reverse_complement: bool = False  # in training read every second sequence from its other strand

    def __post_init__(self) -> None:
        require(bool(self.source), "source", "it is empty.", "Name a file, or write generated.")
        require(
            self.folds == 0 or self.folds >= 2,
            "folds",
            f"{self.folds} parts leave nothing to learn from.",
            "Write 2 or more, or 0 for a source with a test part of its own.",
        )
        require(
            0 <= self.fold < max(1, self.folds),
            "fold",
            f"{self.fold} is not one of the {self.folds} parts.",
            f"Write 0 to {max(1, self.folds) - 1}.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses; at least two classes."""
        return SYMBOLS + 2
