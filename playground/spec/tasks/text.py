"""What a person writes of a text to be learned."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.spec.require import require

EMBEDDED_CORPORA = ("python-stdlib",)  # there on every machine; anything else is a path or hf:NAME

TOKENIZERS = ("bytes", "chars", "words")  # and hf:NAME


@dataclass(frozen=True, kw_only=True)
class Text:
    """Next-token prediction on one stream of text."""

    kind: ClassVar[str] = "text"

    # python-stdlib, a file, a folder of train/valid/test.txt, a .jsonl file or a folder of .txt
    # files (documents), or hf:NAME; a path is relative to the YAML it is written in
    corpus: str = "python-stdlib"
    tokenizer: str = "bytes"  # bytes | chars, words (the table of the train split) | hf:NAME
    length: int = 512  # tokens of one example
    stream_eval: bool = True  # evaluate with the state carried along the split
    # reset: each begins with a fresh memory
    documents: Literal["carry", "reset"] = field(default="carry", metadata={"later": True})
    # a line or a mark that ends each document, where the corpus does not tell
    separator: str = field(default="", metadata={"later": True})
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)  # train, val, test; sum 1

    def __post_init__(self) -> None:
        require(bool(self.corpus), "corpus", "it is empty.", "Name a file or python-stdlib.")
        require(
            self.tokenizer in TOKENIZERS or self.tokenizer[:3] == "hf:" != self.tokenizer,
            "tokenizer",
            f"{self.tokenizer!r} is not a tokenizer.",
            "Write bytes, chars, words or hf:NAME.",
        )
        require(self.length >= 2, "length", f"{self.length} is too short.", "Write at least 2.")
        require(
            all(part >= 0 for part in self.split)
            and abs(sum(self.split) - 1) < 1e-6
            and self.split[0] > 0,
            "split",
            f"{list(self.split)} is not three fractions of the whole.",
            "Write train, val and test as fractions that sum to 1, with train above 0.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses; None where only the data can tell."""
        return 256 if self.tokenizer == "bytes" else None
