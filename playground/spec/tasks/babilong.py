"""What a person writes of bAbI facts, alone or in a long text."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from playground.spec.growth import check_growth
from playground.spec.require import require


@dataclass(frozen=True, kw_only=True)
class Babilong:
    """bAbI questions (arXiv:1502.05698), their facts hidden in a long text (arXiv:2406.10149)."""

    kind: ClassVar[str] = "babilong"

    facts: str = "generated"  # a world of the kind of qa1; or a folder of bAbI's files
    question: int = 1  # 1 to 20: qa1, qa2, ...
    # what the facts stand in; python-stdlib, a file, a folder of train/valid/test.txt, or hf:NAME
    corpus: str = "python-stdlib"
    tokenizer: Literal["words", "bytes"] = "words"
    vocab: int = 4096  # of words: those of the facts, then the commonest of the corpus
    length: int = 0  # tokens of an example, with its answer; 0: facts and question alone
    train_lengths: tuple[int, ...] = ()  # one of them per training batch; [] is [length]
    # batches after which the next of train_lengths joins those before it; 0: all from the start
    grow_every: int = field(default=0, metadata={"later": True})
    test_lengths: tuple[int, ...] = ()  # all of them are scored on test; [] is [length]
    test_examples: int = 100  # of every length but 0, which is scored on all questions

    def __post_init__(self) -> None:
        require(bool(self.facts), "facts", "it is empty.", "Name a folder, or write generated.")
        require(bool(self.corpus), "corpus", "it is empty.", "Name a file or python-stdlib.")
        require(
            1 <= self.question <= 20,
            "question",
            f"{self.question} is not one of bAbI's 20.",
            "Write 1 to 20.",
        )
        require(
            self.facts != "generated" or self.question == 1,
            "question",
            f"facts: generated has questions of kind 1 only, not {self.question}.",
            "Write question: 1, or name a folder of bAbI's files.",
        )
        require(self.vocab >= 256, "vocab", f"{self.vocab} is too small.", "Write at least 256.")
        require(
            self.test_examples >= 1,
            "test_examples",
            f"{self.test_examples} is not a positive count.",
            "Write 1 or more.",
        )
        lengths = (self.length, *self.train_lengths, *self.test_lengths)
        require(
            all(length == 0 or length >= 64 for length in lengths),
            "length",
            f"{min((n for n in lengths if n), default=0)} is too short for facts and question.",
            "Write 0 for facts and question alone, or at least 64.",
        )
        check_growth(self.grow_every, self.train_lengths)
        for name in ("train_lengths", "test_lengths"):
            given = getattr(self, name)
            require(
                len(set(given)) == len(given),
                name,
                f"{list(given)} has a length twice.",
                "Write each once.",
            )

    def symbols(self) -> int | None:
        """How many different tokens the task uses; of words at most so many."""
        return 256 if self.tokenizer == "bytes" else self.vocab
