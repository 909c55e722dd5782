"""What a person writes of a needle in a haystack."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.spec.growth import check_growth
from playground.spec.require import require


@dataclass(frozen=True, kw_only=True)
class Niah:
    """A needle in a haystack (RULER's S-NIAH, arXiv:2404.06654): recall a value read long ago."""

    kind: ClassVar[str] = "niah"

    haystack: Literal["noise", "sentence", "text"] = "noise"  # S-NIAH-1: noise; 2 and 3: text
    # of haystack: text; python-stdlib, a file, a folder of train/valid/test.txt, or hf:NAME
    corpus: str = "python-stdlib"
    value: Literal["number", "uuid"] = "number"  # 7 digits; S-NIAH-3: uuid
    template: Literal["ruler", "short"] = "ruler"  # short: for small models, 100 bytes in all
    words: str = "embedded"  # of the keys; or a folder with adjectivelist.txt and nounlist.txt
    tokenizer: str = "bytes"  # bytes | hf:NAME
    length: int = 512  # tokens of an example, with its answer
    train_lengths: tuple[int, ...] = ()  # one of them per training batch; [] is [length]
    # batches after which the next of train_lengths joins those before it; 0: all from the start
    grow_every: int = field(default=0, metadata={"later": True})
    test_lengths: tuple[int, ...] = ()  # all of them are scored on test; [] is [length]
    needles: int = 1  # in training: so many, each with its key, and each is asked for
    depth: float | None = None  # percent of the haystack before the needle; null: all depths
    loss: Literal["answer", "all"] = "answer"  # tokens that are scored in training
    test_examples: int = 100  # per length; of the val split, and again of the test split

    def __post_init__(self) -> None:
        require(bool(self.corpus), "corpus", "it is empty.", "Name a file or python-stdlib.")
        require(bool(self.words), "words", "it is empty.", "Name a folder, or write embedded.")
        require(
            self.tokenizer == "bytes" or self.tokenizer[:3] == "hf:" != self.tokenizer,
            "tokenizer",
            f"{self.tokenizer!r} is not a tokenizer.",
            "Write bytes or hf:NAME.",
        )
        for name in ("length", "needles", "test_examples"):
            value = getattr(self, name)
            require(value >= 1, name, f"{value} is not a positive count.", "Write 1 or more.")
        check_growth(self.grow_every, self.train_lengths)
        for name in ("train_lengths", "test_lengths"):
            lengths = getattr(self, name)
            require(
                all(length >= 1 for length in lengths) and len(set(lengths)) == len(lengths),
                name,
                f"{list(lengths)} are not different positive counts.",
                "Write for example [256, 512].",
            )
        require(
            self.depth is None or 0 <= self.depth <= 100,
            "depth",
            f"{self.depth} is not in [0, 100].",
            "Write a percentage, or null for all depths.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses; None where only the data can tell."""
        return 256 if self.tokenizer == "bytes" else None
