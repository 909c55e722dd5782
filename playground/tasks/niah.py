"""A needle in a haystack: RULER's S-NIAH-1, -2 and -3 (arXiv:2404.06654) from a generator.

    intro | haystack ... One of the special magic numbers for KEY is: VALUE. ... haystack
    What is the special magic number for KEY mentioned in the provided text? The special magic
    number for KEY mentioned in the provided text is VALUE

Every example has exactly `length` tokens with its answer. The needle stands at the start of the
sentence (or line) nearest to its depth. An answer is right if greedy decoding gives all its tokens
(RULER asks for the value anywhere in 128 tokens; a model that goes on with the value gives it
there too). The answer's tokens are those of the value; with a tokenizer other than bytes also the
space before it.

S-NIAH-1: haystack noise, value number. S-NIAH-2: text, number. S-NIAH-3: text, uuid.
"""

import hashlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Niah
from playground.tasks.answers import EVAL_SEED
from playground.tasks.base import IGNORE, Batch, Scoring, check_split
from playground.tasks.counter import below, draws, unit
from playground.tasks.lengths import PIECE, Examples, length_of, score_lengths
from playground.tasks.losses import CROSS_ENTROPY
from playground.tasks.needles import TEMPLATES, load_haystacks, load_words, value_of
from playground.tasks.tokenizers import make_tokenizer

GENERATOR = "niah-1"  # part of the data's identity: raise it when the same spec gives other tokens
BINS = 5  # depths are drawn evenly in so many parts of the haystack, and scored by part
_PER_NEEDLE = 5  # random numbers: adjective, noun, two for the value, depth

Tokens = NDArray[np.integer]


class NiahTask:
    """Examples made on demand; see the module for what they look like.

    Args:
        spec: `playground.spec.tasks.Niah`.

    Raises:
        DataError: texts or words cannot be read, or a length cannot hold needle and question.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Niah) -> None:
        self.spec = spec
        self.tokenizer = make_tokenizer(spec.tokenizer, b"")
        self.vocab = self.tokenizer.vocab
        self._haystacks, self._text_sha = load_haystacks(spec, self.tokenizer)
        self._adjectives, self._nouns = load_words(spec.words)
        self._template = TEMPLATES[spec.template]
        self._train_lengths = spec.train_lengths or (spec.length,)
        self._test_lengths = spec.test_lengths or (spec.length,)
        self._spaced = spec.tokenizer == "bytes"  # the space before a value belongs to the prompt
        self._check_lengths()

    def _check_lengths(self) -> None:
        longest = f"{max(self._adjectives, key=len)}-{max(self._nouns, key=len)}"
        value = value_of(self.spec.value, np.zeros(2, np.uint64))
        for name, lengths, needles in (
            ("train_lengths", self._train_lengths, self.spec.needles),
            ("test_lengths", (self.spec.length, *self._test_lengths), 1),
        ):
            parts = self._parts([(longest, value)] * needles)
            least = sum(map(len, parts))
            if min(lengths) < least:
                raise DataError(
                    f"task.{name if min(lengths) != self.spec.length else 'length'}",
                    f"{min(lengths)} tokens cannot hold needle and question.",
                    f"Write at least {least}"
                    + (", or template: short." if self.spec.template == "ruler" else "."),
                )

    def data_sha(self) -> str:
        """Identity of generator, texts and words; the spec's fields are in the fingerprint."""
        words = hashlib.sha256(" ".join([*self._adjectives, "/", *self._nouns]).encode())
        parts = (GENERATOR, self._text_sha, words.hexdigest(), self.tokenizer.identity())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        With `train_lengths` the length belongs to the batch (`length_of`), and an example is cut
        to it.

        Returns:
            tokens [size, T]; positions and targets of the answers [size, n], or with `loss: all`
            targets [size, T], the next tokens.
        """
        check_split(split)
        lengths = self._train_lengths if split == "train" else (self.spec.length,)
        length = length_of(GENERATOR, split, index, lengths, self.spec.grow_every)
        needles = self.spec.needles if split == "train" else 1
        made = self._examples(split, seed, index * size, size, length, needles).batch()
        if self.spec.loss == "answer":
            return made
        targets = torch.full_like(made.tokens, IGNORE)
        targets[:, :-1] = made.tokens[:, 1:]
        return Batch(tokens=made.tokens, targets=targets)

    def _examples(
        self, split: str, seed: int, first: int, count: int, length: int, needles: int = 1
    ) -> Examples:
        raw = draws(GENERATOR, seed, split, first, count, 1 + needles * _PER_NEEDLE)
        # filled row by row: two million tokens are not held twice
        tokens = np.empty((count, length), self._haystacks[split].tokens.dtype)
        answers, depths = list[list[tuple[int, int]]](), list[int | None]()
        for i in range(count):
            tokens[i], spans, depth = self._example(split, first + i, raw[i], length, needles)
            answers.append(spans)
            depths.append(depth)
        # one width for all batches, so that runs of several seeds can be stacked
        most = needles * (len(value_of(self.spec.value, raw[0, :2])) + (not self._spaced))
        width = max(most, *(sum(stop - start for start, stop in spans) for spans in answers))
        positions = np.full((count, width), length - 1, np.int64)
        targets = np.full((count, width), IGNORE, np.int64)
        for i, spans in enumerate(answers):
            at = np.concatenate([np.arange(start, stop) for start, stop in spans])
            positions[i, : len(at)], targets[i, : len(at)] = at - 1, tokens[i, at]
        groups = ["" if depth is None else f"d{depth}" for depth in depths]
        return Examples(tokens=tokens, positions=positions, targets=targets, groups=groups)

    def _example(
        self, split: str, index: int, raw: NDArray[np.uint64], length: int, needles: int
    ) -> tuple[Tokens, list[tuple[int, int]], int | None]:
        """The tokens, the places of the answers, and the part of the haystack of the needle."""
        drawn = raw[1:].reshape(needles, _PER_NEEDLE)
        pairs = [(self._key(row), value_of(self.spec.value, row[2:4])) for row in drawn]
        intro, *rest = self._parts(pairs)
        written, asked = rest[:needles], rest[needles:]
        room = length - len(intro) - sum(map(len, rest))
        tokens, starts = self._haystacks[split].cut(room, float(unit(raw[:1])[0]))
        wanted = index % BINS if needles == 1 and self.spec.depth is None else None
        depths = [self._depth(wanted, float(unit(row[4:])[0])) for row in drawn]
        places = [int(starts[np.abs(starts - depth * room).argmin()]) for depth in depths]
        pieces, at = [intro], 0
        for number in np.argsort(places, kind="stable"):
            pieces += [tokens[at : places[number]], written[number]]
            at = places[number]
        pieces += [tokens[at:], *asked]
        ends = length - np.cumsum([0, *map(len, asked[::-1])])[::-1]
        spans = [(int(ends[i]), int(ends[i + 1])) for i in range(1, len(asked), 2)]
        # where it stands: at the nearest start of a sentence, which may be in another part
        part = min(BINS - 1, BINS * places[0] // max(1, room))
        centre = None if wanted is None else round(100 * (part + 0.5) / BINS)
        return np.concatenate(pieces), spans, centre

    def _depth(self, part: int | None, drawn: float) -> float:
        """Fraction of the haystack before a needle."""
        if self.spec.depth is not None:
            return self.spec.depth / 100
        return drawn if part is None else (part + drawn) / BINS

    def _key(self, raw: NDArray[np.uint64]) -> str:
        adjective = self._adjectives[int(below(raw[:1], len(self._adjectives))[0])]
        return f"{adjective}-{self._nouns[int(below(raw[1:2], len(self._nouns))[0])]}"

    def _parts(self, pairs: list[tuple[str, str]]) -> list[Tokens]:
        """Intro, needles, and for every needle its question and its answer, as tokens."""
        words = {"kind": "number" if self.spec.value == "number" else "uuid"}
        template, space = self._template, " "
        after = "\n" if self.spec.haystack == "noise" else space
        texts = [template.intro.format(**words)]
        texts += [template.needle.format(key=k, value=v, **words) + after for k, v in pairs]
        for key, value in pairs:
            question = template.question.format(key=key, **words)
            texts += [question + space, value] if self._spaced else [question, space + value]
        return [self.tokenizer.encode(text.encode()).tokens for text in texts]

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model on fixed examples: val at `length`, test at every one of `test_lengths`.

        Args:
            split: "train" (the stream of seed 0), "val" or "test".
            batches: at most so many batches of examples of each length; None for all.

        Returns:
            "loss" (nats per answer token), "accuracy" (of answer tokens), "solved" (examples with
            every answer token right) of the first length, "tokens"; then for each length
            "solved@4096", and "solved@4096/d50" of the fifth of the haystack around 50 percent.
        """
        check_split(split)
        lengths = self._test_lengths if split == "test" else (self.spec.length,)
        return score_lengths(
            lambda length, first, count: self._examples(split, EVAL_SEED, first, count, length),
            dict.fromkeys(lengths, self.spec.test_examples),
            piece=min(PIECE, self.spec.length),
            batches=batches,
        )

    def floors(self) -> dict[str, float]:
        """Nats per answer token of a guess that knows how values are written, not which it is."""
        if self.spec.value == "number":
            return {"any_value": math.log(9_000_000) / self._answer_tokens()}
        return {"any_value": 122 * math.log(2) / self._answer_tokens()}

    def _answer_tokens(self) -> float:
        made = self._examples(
            "test", EVAL_SEED, 0, min(50, self.spec.test_examples), self.spec.length
        )
        return float((made.targets != IGNORE).sum(axis=1).mean())

    def describe(self) -> dict[str, Any]:
        """What is generated and how it is scored."""
        spec = self.spec
        haystack = spec.haystack if spec.haystack != "text" else f"text {spec.corpus}"
        return {
            "task": "niah",
            "sha256": self.data_sha(),
            "vocab": self.vocab,
            "haystack": haystack,
            "value": spec.value,
            "template": spec.template,
            "keys": f"{len(self._adjectives)} adjectives x {len(self._nouns)} nouns",
            "train_lengths": list(self._train_lengths),
            **({"grow_every": spec.grow_every} if spec.grow_every else {}),
            "test_lengths": list(self._test_lengths),
            "examples": {"train": "generated", "val": spec.test_examples}
            | {"test": f"{spec.test_examples} of every length"},
            "evaluation": "greedy exact match of the value, examples the same for every run; "
            f"longer than {min(PIECE, spec.length)} tokens in pieces with the state carried",
        }


class Oracle:
    """Solves the task by reading: the value that follows the key. It keeps what it has read."""

    def __init__(self, task: NiahTask) -> None:
        self.task = task

    def start(self, batch: int) -> "_Read":
        """What each of `batch` sequences has read: nothing."""
        return _Read([[] for _ in range(batch)])

    def __call__(
        self, tokens: torch.Tensor, state: "_Read | None" = None, *, positions: torch.Tensor
    ) -> Any:
        """Logits [B, n, vocab] at the positions; with a state given, the pair with the next one."""
        read = state if state is not None else self.start(len(tokens))
        logits = torch.full((*positions.shape, self.task.vocab), -100.0)
        after = _Read([[*old, *row] for old, row in zip(read, tokens.tolist(), strict=True)])
        for i, row in enumerate(after):
            begun = len(row) - tokens.shape[1]
            for j, at in enumerate(positions[i].tolist()):
                logits[i, j, self._next(row[: begun + at + 1])] = 0.0
        return logits if state is None else (logits, after)

    def _next(self, row: list[int]) -> int:
        text = self.task.tokenizer.decode(np.array(row))
        asked = text[text.rindex(" for " if " for " in text else " of ") :].split()[1]
        given = text.rpartition(" is ")[2]
        found = text[text.index(f" {asked} is") :].split(" is", 1)[1].lstrip(": ")
        return int(self.task.tokenizer.encode(found[len(given)].encode()).tokens[0])


class _Read(list[list[int]]):
    def detach(self) -> "_Read":
        return self
