"""Next-token prediction on one text, scored by streaming or in windows.

Streaming: the split is cut into S parallel streams of equal length that are read from start to
end in windows of `length` tokens, the state carried (and detached) from window to window. It
shows what a memory keeps, and its loss is lower than that of windows from a fresh state, which
is what most published numbers are: a table must say which one it is.

With `documents: reset` every document begins with a fresh memory. An example then lies within one
document, filled up with tokens that are not scored where the document is shorter; in streaming each
of the parallel streams takes the next document where it has read one to its end.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks import Text
from playground.tasks.base import (
    IGNORE,
    SAME_AS_VAL,
    SPLITS,
    Ask,
    Batch,
    Scoring,
    check_split,
)
from playground.tasks.corpora import check_utf8, load_corpus
from playground.tasks.counter import below, draws
from playground.tasks.documents import first_tokens, separated
from playground.tasks.floors import ngram_loss
from playground.tasks.kneser_ney import kneser_ney_loss
from playground.tasks.losses import CROSS_ENTROPY
from playground.tasks.tally import Tally
from playground.tasks.tokenizers import Encoded, make_tokenizer
from playground.tasks.windows import (
    Step,
    document_steps,
    endless_steps,
    read_step,
    stream_count,
    stream_steps,
    window_steps,
)

_NAMED_ORDERS = {"unigram": 1, "bigram": 2, "trigram": 3}
# Counting ten million tokens takes a second; the runs of a sweep ask for the same floors.
_known_floors: dict[tuple[object, ...], float] = {}


class TextTask:
    """A corpus, a tokenizer, and two ways to score.

    Args:
        spec: `playground.spec.tasks.Text`.

    Raises:
        DataError: the corpus cannot be read, or a split is shorter than one example.
    """

    loss = CROSS_ENTROPY

    def __init__(self, spec: Text) -> None:
        self.spec = spec
        self.corpus = load_corpus(spec.corpus, spec.split)
        if spec.tokenizer != "bytes":
            check_utf8(self.corpus)
        parts = self.corpus.parts
        self.tokenizer = make_tokenizer(spec.tokenizer, *(parts[split] for split in SPLITS))
        self.vocab = self.tokenizer.vocab
        self.encoded = {split: self._encode(split) for split in SPLITS}
        reset = spec.documents == "reset"
        self.starts = {split: self._starts(split) for split in SPLITS} if reset else None

    def _starts(self, split: str) -> NDArray[np.int64]:
        """The first token of every document."""
        corpus, spec = self.corpus, self.spec
        if spec.separator:
            found = separated(corpus.parts[split], spec.separator)
        elif corpus.starts is not None:
            found = corpus.starts[split]
        else:
            raise DataError(
                "task.documents",
                f"nothing tells where the documents of {spec.corpus} begin.",
                "Write task.separator, or name a .jsonl file or a folder of .txt files.",
            )
        return first_tokens(self.encoded[split], found)

    def _encode(self, split: str) -> Encoded:
        encoded = self.tokenizer.encode(self.corpus.parts[split])
        if len(encoded.tokens) <= self.spec.length:
            raise DataError(
                f"task.corpus {self.spec.corpus}",
                f"its {split} split has {len(encoded.tokens)} tokens, "
                f"too few for examples of length {self.spec.length}.",
                "Use more text, a smaller task.length or another task.split.",
            )
        return encoded

    def data_sha(self) -> str:
        """sha256 of the text; of a file exactly the file's, if the tokenizer adds nothing."""
        identity = self.tokenizer.identity()
        if not identity:
            return self.corpus.sha256
        return hashlib.sha256(f"{self.corpus.sha256} {identity}".encode()).hexdigest()

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Windows at uniform random places; example i depends on (seed, split, i) only.

        Returns:
            tokens and targets [size, length]: targets are the tokens one place further.
        """
        check_split(split)
        tokens, length = self.encoded[split].tokens, self.spec.length
        last = len(tokens) - (length if self.starts is None else 1)
        starts = below(draws("text", seed, split, index * size, size, 1), last)
        ends = np.full_like(starts, len(tokens))
        if self.starts is not None:
            starts, ends = _within(starts, self.starts[split], len(tokens), length)
        at = starts + np.arange(length + 1)
        windows = torch.from_numpy(tokens[np.minimum(at, len(tokens) - 1)].astype(np.int64))
        beyond = torch.from_numpy(at[:, 1:] >= ends)
        return Batch(
            tokens=windows[:, :-1].contiguous(),
            targets=windows[:, 1:].masked_fill(beyond, IGNORE),
        )

    def scoring(
        self, split: str, *, batches: int | None = None, by_position: bool = False
    ) -> Scoring:
        """Score a model on `split`, streaming or in windows as the spec says.

        Args:
            split: "train", "val" or "test".
            batches: at most so many batches of up to 16 windows: the first ones of every stream,
                or windows spread evenly over the split; None for the whole split.
            by_position: also "loss@64-128" and so on: nats per token at places of the stream.

        Returns:
            "loss" (nats per token), "bits_per_byte" (of the text, whatever the tokenizer),
            "perplexity" (per token), "tokens" (scored) and "bytes" (that they stand for).
        """
        check_split(split)
        steps = self._steps(split, batches)
        return self._scored(split, steps, len(steps), self.spec.stream_eval, by_position)

    def stream(self, split: str, length: int, *, by_position: bool = False) -> Scoring:
        """Score a model on one stream of `length` tokens, the split again where it ends.

        Returns:
            as `scoring`, and "repeats": how often the split is read.
        """
        check_split(split)
        tokens, window = len(self.encoded[split].tokens), self.spec.length
        starts = None if self.starts is None else self.starts[split]
        steps: Iterable[Step] = endless_steps(tokens, window, length, starts)
        total = -(-length // window)
        if starts is not None:  # then only going through them tells how many there are
            steps = list(steps)
            total = len(steps)
        scores = yield from self._scored(split, steps, total, True, by_position)
        return {**scores, "repeats": length / tokens}

    def _steps(self, split: str, batches: int | None) -> list[Step]:
        tokens, length = len(self.encoded[split].tokens), self.spec.length
        starts = None if self.starts is None else self.starts[split]
        if not self.spec.stream_eval:
            return window_steps(tokens, length, batches, starts)
        if starts is not None:
            return document_steps(starts, tokens, length, batches)
        return stream_steps(tokens, length, batches)

    def _scored(
        self, split: str, steps: Iterable[Step], total: int, carry: bool, by_position: bool
    ) -> Scoring:
        tally = Tally(by_position=by_position)
        for done, step in enumerate(steps, start=1):
            part, size = read_step(self.encoded[split], step, self.spec.length)
            fresh = None if step.fresh is None else torch.from_numpy(step.fresh)
            logits = yield Ask(batch=part, carry=carry, done=done, total=total, fresh=fresh)
            tally.add(logits, part.targets, step.places, size)
        return tally.scores()

    def floor(self, name: str, split: str = "test") -> float:
        """What counting the train split's n-grams reaches on `split`.

        Args:
            name: "unigram", "bigram", "trigram" or such as "5gram": interpolated Witten-Bell;
                or such as "kn5": interpolated Kneser-Ney.
            split: what is scored, all of it.

        Returns:
            nats per token.
        """
        check_split(split)
        found = re.fullmatch(r"([1-9])gram|kn([1-9])", name)
        order = int(found[1] or found[2]) if found else _NAMED_ORDERS.get(name)
        if order is None:
            raise DataError(f"floor {name!r}", "it is no n-gram.", "Write bigram, 5gram or kn5.")
        count = kneser_ney_loss if name.startswith("kn") else ngram_loss
        key = (self.data_sha(), self.spec.tokenizer, self.spec.split, count, order, split)
        if key not in _known_floors:
            train, text = self.encoded["train"].tokens, self.encoded[split].tokens
            _known_floors[key] = count(train, text, order, self.vocab)
        return _known_floors[key]

    def floors(self) -> dict[str, float]:
        """Unigram and bigram on the test split, nats per token; of words Kneser-Ney as well."""
        words = ("kn3", "kn5") if self.spec.tokenizer == "words" else ()
        return {name: self.floor(name) for name in ("unigram", "bigram", *words)}

    def describe(self) -> dict[str, Any]:
        """Where the text came from, where it was cut, and how it is scored."""
        parts, length = self.corpus.parts, self.spec.length
        streams = {s: stream_count(len(self.encoded[s].tokens), length) for s in ("val", "test")}
        facts: dict[str, Any] = {
            "task": "text",
            **self.corpus.facts,
            "sha256": self.corpus.sha256,
            "bytes": {split: len(parts[split]) for split in SPLITS},
            "tokens": {split: len(self.encoded[split].tokens) for split in SPLITS},
            "tokenizer": self.spec.tokenizer,
            "vocab": self.vocab,
            "length": length,
            "evaluation": "streaming: the state is carried along parallel streams"
            if self.spec.stream_eval
            else "windows side by side, each from a fresh state",
        }
        if self.starts is not None:
            counts = {split: len(found) for split, found in self.starts.items()}
            facts["documents"] = {**counts, "memory": "begins anew with each"}
        elif self.spec.stream_eval:
            facts["streams"] = streams
        if parts["test"] is parts["val"]:
            facts["test"] = SAME_AS_VAL
        unknown = {split: e.unknown for split, e in self.encoded.items() if e.unknown}
        if unknown:
            facts["unknown_words" if self.spec.tokenizer == "words" else "unknown_characters"] = (
                unknown
            )
        return facts


def _within(
    drawn: NDArray[np.int64], starts: NDArray[np.int64], tokens: int, length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where windows begin that lie in the documents of the drawn tokens, and where these end."""
    which = np.searchsorted(starts, drawn[:, 0], side="right") - 1
    first, end = starts[which], np.append(starts[1:], tokens)[which]
    latest = np.maximum(first, end - length - 1)
    return np.minimum(drawn[:, 0], latest)[:, None], end[:, None]
