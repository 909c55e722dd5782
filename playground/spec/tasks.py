"""What a person writes of a task: one frozen dataclass per kind, its fields are the YAML keys.

The data itself is made elsewhere (`playground.tasks`), from these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Literal

from playground.errors import SpecError

EMBEDDED_CORPORA = ("python-stdlib",)  # there on every machine; anything else is a path or hf:NAME


def _require(condition: bool, name: str, problem: str, fix: str) -> None:
    if not condition:
        raise SpecError(name, problem, fix=fix)


@dataclass(frozen=True, kw_only=True)
class Text:
    """Next-token prediction on one stream of text."""

    kind: ClassVar[str] = "text"

    # python-stdlib, a file, a folder of train/valid/test.txt, or hf:NAME; a path is relative
    # to the YAML it is written in
    corpus: str = field(default="python-stdlib", metadata={"path": True})
    tokenizer: str = "bytes"  # bytes | chars (the table of the train split) | hf:NAME
    length: int = 512  # tokens of one example
    stream_eval: bool = True  # evaluate with the state carried along the split
    split: tuple[float, float, float] = (0.9, 0.05, 0.05)  # train, val, test; sum 1

    def __post_init__(self) -> None:
        _require(bool(self.corpus), "corpus", "it is empty.", "Name a file or python-stdlib.")
        _require(
            self.tokenizer in ("bytes", "chars") or self.tokenizer[:3] == "hf:" != self.tokenizer,
            "tokenizer",
            f"{self.tokenizer!r} is not a tokenizer.",
            "Write bytes, chars or hf:NAME.",
        )
        _require(self.length >= 2, "length", f"{self.length} is too short.", "Write at least 2.")
        _require(
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
        _require(
            self.pairs >= 1, "pairs", f"{self.pairs} is not a positive count.", "Write 1 or more."
        )
        _require(
            4 * self.pairs <= self.length,
            "length",
            f"{self.length} tokens cannot hold {self.pairs} pairs and their queries.",
            f"Write at least 4 * pairs = {4 * self.pairs}.",
        )
        _require(
            self.vocab >= 4 * self.pairs + 2,
            "vocab",
            f"{self.vocab} has too few keys and values for {self.pairs} pairs.",
            f"Write at least 4 * pairs + 2 = {4 * self.pairs + 2}.",
        )
        _require(
            self.gap_power > 0, "gap_power", f"{self.gap_power} is not above 0.", "Write 0.01."
        )
        _require(
            self.test_examples >= 1,
            "test_examples",
            f"{self.test_examples} is not a positive count.",
            "Write 1 or more.",
        )

    def symbols(self) -> int | None:
        """How many different tokens the task uses."""
        return self.vocab


TaskSpec = Text | Mqar
_specs: dict[str, type] = {cls.kind: cls for cls in (Text, Mqar)}
TASK_SPECS: Mapping[str, type] = MappingProxyType(_specs)


def register_task_spec(cls: type) -> type:
    """Class decorator: make the `kind` of a frozen keyword-only dataclass legal under `task`.

    Raises:
        ValueError: another class has that kind.
    """
    kind = str(getattr(cls, "kind", cls.__name__.lower()))
    if _specs.setdefault(kind, cls) is not cls:
        raise ValueError(f"kind: {kind!r} is already the task {_specs[kind].__name__}.")
    return cls
