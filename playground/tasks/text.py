"""Next-token prediction on one text, scored by streaming or in windows.

Streaming: the split is cut into S parallel streams of equal length that are read from start to
end in windows of `length` tokens, the state carried (and detached) from window to window. It
shows what a memory keeps, and its loss is lower than that of windows from a fresh state, which
is what most published numbers are: a table must say which one it is.
"""

import hashlib
import math
import re
from typing import Any

import numpy as np
import torch

from playground.errors import DataError
from playground.spec.tasks import Text
from playground.tasks.base import (
    IGNORE,
    SPLITS,
    Ask,
    Batch,
    Scoring,
    check_split,
    summed_loss,
)
from playground.tasks.corpora import load_corpus
from playground.tasks.counter import below, draws
from playground.tasks.floors import ngram_loss
from playground.tasks.losses import CROSS_ENTROPY
from playground.tasks.tokenizers import Encoded, make_tokenizer
from playground.tasks.windows import read_step, stream_count, stream_steps, window_steps

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
        parts = self.corpus.parts
        self.tokenizer = make_tokenizer(spec.tokenizer, *(parts[split] for split in SPLITS))
        self.vocab = self.tokenizer.vocab
        self.encoded = {split: self._encode(split) for split in SPLITS}

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
        starts = below(draws("text", seed, split, index * size, size, 1), len(tokens) - length)
        windows = torch.from_numpy(tokens[starts + np.arange(length + 1)].astype(np.int64))
        return Batch(tokens=windows[:, :-1].contiguous(), targets=windows[:, 1:].contiguous())

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """Score a model on `split`, streaming or in windows as the spec says.

        Args:
            split: "train", "val" or "test".
            batches: at most so many batches of up to 16 windows: the first ones of every stream,
                or windows spread evenly over the split; None for the whole split.

        Returns:
            "loss" (nats per token), "bits_per_byte" (of the text, whatever the tokenizer),
            "perplexity" (per token), "tokens" (scored) and "bytes" (that they stand for).
        """
        check_split(split)
        encoded, length, carry = self.encoded[split], self.spec.length, self.spec.stream_eval
        steps = (stream_steps if carry else window_steps)(len(encoded.tokens), length, batches)
        loss, tokens, size = 0.0, 0, 0
        for done, step in enumerate(steps, start=1):
            part, part_bytes = read_step(encoded, step, length)
            logits = yield Ask(batch=part, carry=carry, done=done, total=len(steps))
            loss += summed_loss(logits, part.targets.to(logits.device))
            tokens += int((part.targets != IGNORE).sum())
            size += part_bytes
        return _scores(loss, tokens, size)

    def floor(self, name: str, split: str = "test") -> float:
        """What an interpolated Witten-Bell n-gram of the train split reaches on `split`.

        Args:
            name: "unigram", "bigram", "trigram" or such as "5gram".
            split: what is scored, all of it.

        Returns:
            nats per token.
        """
        check_split(split)
        found = re.fullmatch(r"([1-9])gram", name)
        order = int(found[1]) if found else _NAMED_ORDERS.get(name)
        if order is None:
            raise DataError(f"floor {name!r}", "it is no n-gram.", "Write bigram or 5gram.")
        key = (self.data_sha(), self.spec.tokenizer, self.spec.split, order, split)
        if key not in _known_floors:
            train, text = self.encoded["train"].tokens, self.encoded[split].tokens
            _known_floors[key] = ngram_loss(train, text, order, self.vocab)
        return _known_floors[key]

    def floors(self) -> dict[str, float]:
        """Unigram and bigram on the test split, nats per token."""
        return {name: self.floor(name) for name in ("unigram", "bigram")}

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
        if self.spec.stream_eval:
            facts["streams"] = streams
        if parts["test"] is parts["val"]:
            facts["test"] = "the same text as val"
        unknown = {split: e.unknown for split, e in self.encoded.items() if e.unknown}
        if unknown:
            facts["unknown_characters"] = unknown
        return facts


def _scores(loss: float, tokens: int, size: int) -> dict[str, float]:
    mean = loss / tokens
    return {
        "loss": mean,
        "bits_per_byte": loss / math.log(2) / size if size else math.nan,
        # exp overflows beyond 709: a diverged model has an infinite perplexity, not an exception
        "perplexity": math.exp(mean) if mean < 700 else math.inf,
        "tokens": float(tokens),
        "bytes": float(size),
    }
