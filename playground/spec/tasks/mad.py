"""What a person writes of the six tasks of MAD (arXiv:2403.17844), one class each.

`vocab` counts the symbols of the task and its special tokens; noise comes on top (the published
configuration counts noise inside: its 32 with 16 noise tokens is 16 and 16 here).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from playground.spec.require import require


@dataclass(frozen=True, kw_only=True)
class AbstractMad:
    """What the six have in common."""

    vocab: int = 16
    length: int = 128
    # fixed: well posed, scored at the answers, accuracy a fraction of them; paper: as published
    protocol: Literal["fixed", "paper"] = "fixed"
    examples: int = 0  # different training examples, again and again in order; 0: all are new
    test_examples: int = 1280  # examples of the val split, and again of the test split

    def __post_init__(self) -> None:
        require(self.examples >= 0, "examples", f"{self.examples} is negative.", "Write 0.")
        for name, least in (("test_examples", 1), ("vocab", 4), ("length", 4)):
            value = getattr(self, name)
            require(value >= least, name, f"{value} is too few.", f"Write {least} or more.")

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return self.vocab


@dataclass(frozen=True, kw_only=True)
class MadRecall(AbstractMad):
    """In-context recall: the value of a key that has been seen; half are keys, half values."""

    kind: ClassVar[str] = "mad_recall"

    def __post_init__(self) -> None:
        super().__post_init__()
        even = self.length % 2 == 0
        require(even, "length", f"{self.length} is no whole number of pairs.", "Write 128.")


@dataclass(frozen=True, kw_only=True)
class MadNoisyRecall(MadRecall):
    """In-context recall with pairs of noise in between."""

    kind: ClassVar[str] = "mad_noisy_recall"

    noise_vocab: int = 16
    noise: float = 0.2  # fraction of the pairs

    def __post_init__(self) -> None:
        super().__post_init__()
        good = self.noise_vocab >= 1
        require(good, "noise_vocab", f"{self.noise_vocab} is not positive.", "Write 16.")
        require(0 <= self.noise < 1, "noise", f"{self.noise} is not in [0, 1).", "Write 0.2.")

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return self.vocab + self.noise_vocab


@dataclass(frozen=True, kw_only=True)
class MadFuzzyRecall(AbstractMad):
    """In-context recall where a key or a value is one to `motif` tokens; one token is padding."""

    kind: ClassVar[str] = "mad_fuzzy_recall"

    motif: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        most = min((self.vocab - 1) // 2, self.length // 4)
        fix = f"Write 1 to {most}, or more symbols or tokens."
        require(1 <= self.motif <= most, "motif", f"{self.motif} does not fit.", fix)


@dataclass(frozen=True, kw_only=True)
class MadSelectiveCopy(AbstractMad):
    """Selective copy: repeat the symbols that lie scattered between blanks, in order."""

    kind: ClassVar[str] = "mad_selective_copy"

    length: int = 256
    copies: int = 16  # symbols to repeat

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.copies >= 1, "copies", f"{self.copies} is not positive.", "Write 16.")
        fits = self.length >= 2 * self.copies + 1
        fix = f"Write 2 * copies + 1 = {2 * self.copies + 1} or more."
        require(fits, "length", f"{self.length} cannot hold {self.copies} twice.", fix)


@dataclass(frozen=True, kw_only=True)
class MadCompression(AbstractMad):
    """Compression: after `length` tokens, the last a marker, say what stood at each position."""

    kind: ClassVar[str] = "mad_compression"

    length: int = 32

    def symbols(self) -> int | None:
        """How many different tokens the task uses: the questions name positions."""
        return self.vocab + self.length


@dataclass(frozen=True, kw_only=True)
class MadMemorization(AbstractMad):
    """Memorization: a map from keys to values that is the same in every example."""

    kind: ClassVar[str] = "mad_memorization"

    vocab: int = 256
    length: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        even = self.length % 2 == 0
        require(even, "length", f"{self.length} is no whole number of pairs.", "Write 32.")
