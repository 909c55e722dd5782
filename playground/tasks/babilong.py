"""bAbI questions with their facts alone, or in order between the sentences of a long text.

    text. Mary went to the garden. text. text. John went to the office. Where is Mary? garden

An example of length L has exactly L tokens with its answer (arXiv:2406.10149); questions with more
than L / 8 facts, or that do not fit, are left out. At length 0 facts and question stand alone, as
in bAbI, and shorter examples are filled up after their answer.

Scored is what greedy decoding says, by the published rule (`babi.says`): its first sentence names
the answer and no other label. With `tokenizer: words` an answer is one token, so that the rule
asks whether that token is the answer. With bytes the answer ends with a full stop, and what is
said is the likeliest byte after the right bytes before it.

Published lengths count GPT-2's tokens; ours are words or bytes, and a table must say so.
"""

import hashlib
import math
import re
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Babilong
from playground.tasks.answers import EVAL_SEED
from playground.tasks.babi import GENERATOR, HELD_OUT, Question, load_questions, says
from playground.tasks.base import IGNORE, SPLITS, Batch, Scoring, check_split
from playground.tasks.corpora import Corpus, load_corpus
from playground.tasks.counter import below, draws, unit
from playground.tasks.data_files import find_data
from playground.tasks.haystack import Haystack, haystack_of, hiding_texts
from playground.tasks.lengths import PIECE, Examples, length_of, score_lengths
from playground.tasks.losses import CROSS_ENTROPY
from playground.tasks.tokenizers import Bytes, Encoded

Tokens = NDArray[np.integer]
_TOKEN = re.compile(rb"[a-z0-9'\x80-\xff]+|[^\sa-z0-9'\x80-\xff]")
_FACTS = 160  # random numbers of an example: its question, the text, a place per fact; or more


class Words:
    """Words and marks in lower case: those of the facts, then the commonest of another text.

    Ids: 0 fills up, 1 stands for all other words.

    Args:
        own: words that are all known.
        other: text whose commonest words fill the vocabulary.
        vocab: most ids.
    """

    def __init__(self, own: frozenset[bytes], other: bytes, vocab: int) -> None:
        counts = Counter(_TOKEN.findall(other.lower()))
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rest = [word for word, _ in ranked if word not in own]
        self.words = [b"<fill>", b"<other>", *sorted(own), *rest][:vocab]
        self.vocab = len(self.words)
        self._ids = {word: i for i, word in enumerate(self.words)}

    def identity(self) -> str:
        return hashlib.sha256(b" ".join(self.words)).hexdigest()

    def id_of(self, label: str) -> int:
        """The one token of an answer, also of one with several words."""
        return self._ids.get(label.lower().encode(), 1)

    def encode(self, text: bytes) -> Encoded:
        """Tokens of UTF-8 text; a token's width goes to the start of the next one."""
        found = list(_TOKEN.finditer(text.lower()))
        ids = [self._ids.get(match.group(), 1) for match in found]
        starts = np.array([match.start() for match in found] + [len(text)], np.int64)
        starts[:1] = 0
        return Encoded(tokens=np.array(ids, np.int32), widths=np.diff(starts), unknown=ids.count(1))

    def decode(self, tokens: NDArray[np.integer]) -> str:
        return b" ".join(self.words[int(i)] for i in tokens).decode(errors="replace")


Reading = tuple[Words | Bytes, dict[str, Haystack]]
# Reading a book takes seconds; the runs of a sweep read the same one.
_known: dict[tuple[object, ...], Reading] = {}


def _read(spec: Babilong, own: frozenset[bytes], corpus: Corpus) -> Reading:
    """The tokenizer, and the text of every split that facts are hidden in."""
    key = (spec.tokenizer, spec.vocab, own, corpus.sha256)
    if key not in _known:
        while len(_known) > 3:
            _known.pop(next(iter(_known)))
        texts = hiding_texts(corpus)
        words = spec.tokenizer == "words"
        tokenizer = Words(own, texts["train"], spec.vocab) if words else Bytes()
        stacks = {split: haystack_of(text, tokenizer, b". ") for split, text in texts.items()}
        _known[key] = (tokenizer, stacks)
    return _known[key]


class BabilongTask:
    """Examples made on demand; see the module for what they look like.

    Args:
        spec: `playground.spec.tasks.Babilong`.

    Raises:
        DataError: files cannot be read, or a length holds no question of a split.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Babilong) -> None:
        self.spec = spec
        folder = None if spec.facts == "generated" else find_data(spec.facts, "task.facts")
        self.questions = load_questions(spec.facts, folder, spec.question)
        self.labels = self.questions.labels()
        corpus = load_corpus(spec.corpus)
        self._sha = self._identity(corpus.sha256)
        self.tokenizer, self._haystacks = _read(spec, self._own_words(), corpus)
        self.vocab = self.tokenizer.vocab
        self._encoded: dict[str, Tokens] = {}  # facts, questions and answers
        every = [q for part in self.questions.splits.values() for q in part]
        self._longest = max(map(self._size, every))
        self._widest = max(len(self._answer(q)) for q in every)  # one width for all batches
        self._drawn = max(_FACTS, 2 + max(len(q.facts) for q in every))
        self._fitting: dict[tuple[str, int], tuple[Question, ...]] = {}
        for length in {spec.length, *spec.train_lengths, *spec.test_lengths}:
            for split in SPLITS:
                self._of_length(split, length)

    def _identity(self, corpus: str) -> str:
        digest = hashlib.sha256(f"{GENERATOR} {corpus}".encode())
        for split in SPLITS:
            digest.update(f"{self.questions.splits[split]!r}".encode())
        return digest.hexdigest()

    def _own_words(self) -> frozenset[bytes]:
        """All words of the facts, questions and answers of train."""
        lines: set[str] = set()
        for question in self.questions.splits["train"]:
            lines |= {*question.facts, question.text, question.answer}
        own = {word for line in lines for word in _TOKEN.findall(line.lower().encode())}
        return frozenset(own | {label.lower().encode() for label in self.labels})

    def data_sha(self) -> str:
        """Identity of the questions and the text."""
        return self._sha

    def _tokens(self, text: str) -> Tokens:
        if text not in self._encoded:
            self._encoded[text] = self.tokenizer.encode(text.encode()).tokens
        return self._encoded[text]

    def _answer(self, question: Question) -> Tokens:
        if isinstance(self.tokenizer, Bytes):
            return self._tokens(question.answer + ".")
        return np.array([self.tokenizer.id_of(question.answer)])

    def _written(self, question: Question) -> tuple[list[Tokens], Tokens, Tokens]:
        """Facts, question and answer as tokens."""
        space = " " if isinstance(self.tokenizer, Bytes) else ""
        facts = [self._tokens(fact + space) for fact in question.facts]
        return facts, self._tokens(question.text + space), self._answer(question)

    def _size(self, question: Question) -> int:
        facts, asked, answer = self._written(question)
        return sum(map(len, facts)) + len(asked) + len(answer)

    def _of_length(self, split: str, length: int) -> tuple[Question, ...]:
        """The questions of a split that examples of a length are made of."""
        if (split, length) not in self._fitting:
            every = self.questions.splits[split]
            if length:
                most = length // 8
                every = tuple(q for q in every if len(q.facts) <= most and self._size(q) <= length)
            if not every:
                raise DataError(
                    "task.length",
                    f"{length} tokens hold no question of {split}.",
                    f"Write 0, or at least {self._longest}.",
                )
            self._fitting[split, length] = every
        return self._fitting[split, length]

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        With `train_lengths` the length belongs to the batch (`length_of`).

        Returns:
            tokens [size, T]; positions and targets [size, n] of the answers.
        """
        check_split(split)
        lengths = (self.spec.train_lengths if split == "train" else ()) or (self.spec.length,)
        length = length_of(GENERATOR, split, index, lengths, self.spec.grow_every)
        return self._examples(split, seed, index * size, size, length).batch()

    def _examples(
        self, split: str, seed: int, first: int, count: int, length: int, *, every: bool = False
    ) -> Examples:
        """Examples of one length; `every`: the questions in their order, else drawn."""
        raw = draws(GENERATOR, seed, split, first, count, self._drawn)
        fitting = self._of_length(split, length)
        picks = np.arange(first, first + count) if every else below(raw[:, 0], len(fitting))
        asked = [fitting[int(pick) % len(fitting)] for pick in picks]
        tokens = np.zeros((count, length or self._longest), np.int32)
        positions = np.zeros((count, self._widest), np.int64)
        targets = np.full_like(positions, IGNORE)
        for i, question in enumerate(asked):
            facts, asking, answer = self._written(question)
            row = self._placed(split, facts, length - len(asking) - len(answer), raw[i, 1:])
            row = np.concatenate([*row, asking, answer])
            tokens[i, : len(row)], at = row, np.arange(len(row) - len(answer), len(row))
            positions[i, : len(at)], targets[i, : len(at)] = at - 1, answer
            positions[i, len(at) :] = at[-1] - 1
        return Examples(
            tokens=tokens,
            positions=positions,
            targets=targets,
            groups=[""] * count,
            judge=lambda found: np.array(
                [self._says(found[i], targets[i], q) for i, q in enumerate(asked)]
            ),
        )

    def _placed(
        self, split: str, facts: list[Tokens], room: int, raw: NDArray[np.uint64]
    ) -> list[Tokens]:
        """Facts in order at starts of sentences of a text that fills `room` tokens with them."""
        if room < 0:  # length 0
            return facts
        text, starts = self._haystacks[split].cut(
            room - sum(map(len, facts)), float(unit(raw[:1])[0])
        )
        chosen = np.sort(below(raw[1 : 1 + len(facts)], len(starts)))
        pieces, at = [], 0
        for fact, start in zip(facts, starts[chosen].tolist(), strict=True):
            pieces += [text[at:start], fact]
            at = start
        return [*pieces, text[at:]]

    def _says(
        self, found: NDArray[np.int64], targets: NDArray[np.int64], question: Question
    ) -> bool:
        said = self.tokenizer.decode(found[targets != IGNORE])
        return says(said, question.answer, question.text, self.labels)

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model: val at `length`, test at every one of `test_lengths`.

        Args:
            split: "train", "val" or "test".
            batches: at most so many batches of examples of each length; None for all.

        Returns:
            "loss" (nats per answer token), "accuracy" (of answer tokens), "solved" (examples that
            are right by the published scoring) of the first length, "tokens"; then for each
            length "solved@4096"; length 0 is every question of the split, in order.
        """
        check_split(split)
        lengths = (self.spec.test_lengths if split == "test" else ()) or (self.spec.length,)
        every = len(self.questions.splits[split])
        return score_lengths(
            lambda length, first, count: self._examples(
                split, EVAL_SEED, first, count, length, every=length == 0
            ),
            {length: self.spec.test_examples if length else every for length in lengths},
            piece=max(PIECE, self._longest),
            batches=batches,
        )

    def floors(self) -> dict[str, float]:
        """Nats per answer token of the answers' frequencies in the train split."""
        counts = Counter(q.answer for q in self.questions.splits["train"])
        total, test = sum(counts.values()) + len(counts), self.questions.splits["test"]
        nats = sum(-math.log((counts[q.answer] + 1) / total) for q in test)
        return {"answers_alone": nats / sum(len(self._answer(q)) for q in test)}

    def describe(self) -> dict[str, Any]:
        """Counts, sha, protocol, and what the commonest answer reaches."""
        spec, splits = self.spec, self.questions.splits
        ((commonest, _),) = Counter(q.answer for q in splits["train"]).most_common(1)
        right = sum(q.answer == commonest for q in splits["test"]) / len(splits["test"])
        return {
            "task": f"babilong qa{spec.question}",
            "sha256": self.data_sha(),
            "facts": spec.facts,
            "corpus": spec.corpus,
            "haystack_tokens": {s: len(text.tokens) for s, text in self._haystacks.items()},
            "tokenizer": spec.tokenizer,
            "vocab": self.vocab,
            "questions": {split: len(part) for split, part in splits.items()},
            "val": f"one story in {HELD_OUT} of the train file",
            "labels": len(self.labels),
            "commonest_answer_of_train": round(right, 4),
            "longest": self._longest,
            "train_lengths": list(spec.train_lengths or (spec.length,)),
            **({"grow_every": spec.grow_every} if spec.grow_every else {}),
            "test_lengths": list(spec.test_lengths or (spec.length,)),
            "evaluation": "the label named first by greedy decoding; at length 0 all questions, "
            f"else {spec.test_examples} fixed examples of every length",
        }
