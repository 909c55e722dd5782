"""Text that something is hidden in: as many tokens of it as wanted, and where sentences start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.tasks.base import SPLITS
from playground.tasks.corpora import Corpus, character_start
from playground.tasks.tokenizers import Tokenizer

MOST_TEXT = 4_000_000  # bytes of a split that are read: a long book


@dataclass(frozen=True, kw_only=True)
class Haystack:
    """Text to hide in, as tokens; it is repeated where more is asked for.

    Attributes:
        tokens: of the text.
        starts: ascending indices where sentences (or lines) start, the first is 0.
        fixed: always read from its start.
    """

    tokens: NDArray[np.integer]
    starts: NDArray[np.int64]
    fixed: bool

    def cut(self, count: int, where: float) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
        """`count` tokens from the start of a sentence on, and where sentences start in them.

        Args:
            count: how many, >= 0.
            where: in [0, 1), which sentence is the first.
        """
        first = 0 if self.fixed else int(where * len(self.starts))
        begin, size = int(self.starts[first]), len(self.tokens)
        rounds = -(-(begin + count) // size)
        if rounds <= 1:
            stop = int(np.searchsorted(self.starts, begin + count, side="right"))
            return self.tokens[begin : begin + count], self.starts[first:stop] - begin
        tokens = np.tile(self.tokens, rounds)[begin : begin + count]
        starts = (self.starts + size * np.arange(rounds)[:, None]).ravel() - begin
        return tokens, starts[(starts >= 0) & (starts <= count)]


def haystack_of(text: bytes, tokenizer: Tokenizer, end: bytes) -> Haystack:
    """A text as a haystack.

    Args:
        text: UTF-8.
        tokenizer: of the model that reads it.
        end: what sentences end with; empty for a text that is one sentence, to be repeated.
    """
    encoded = tokenizer.encode(text)
    cuts = [0]
    at = text.find(end) if end else -1
    while at >= 0:
        cuts.append(at + len(end))
        at = text.find(end, cuts[-1])
    bytes_cuts = np.array(cuts, np.int64)
    if encoded.widths is not None:  # the first token that begins at a cut or after it
        begins = np.cumsum(encoded.widths) - encoded.widths
        bytes_cuts = np.unique(np.searchsorted(begins, bytes_cuts))
    starts = bytes_cuts[bytes_cuts < len(encoded.tokens)]
    return Haystack(tokens=encoded.tokens, starts=starts, fixed=not end)


def hiding_texts(corpus: Corpus) -> dict[str, bytes]:
    """The first 4 MB of every split, white space collapsed to single spaces, as RULER does.

    Raises:
        DataError: a split has no text.
    """
    cuts = {split: character_start(corpus.parts[split], MOST_TEXT) for split in SPLITS}
    texts = {split: b" ".join(corpus.parts[split][:cut].split()) for split, cut in cuts.items()}
    for split, text in texts.items():
        if not text:
            raise DataError("task.corpus", f"its {split} split has no text.", "Use more text.")
    return texts
