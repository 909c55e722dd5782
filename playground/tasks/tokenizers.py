"""Text to tokens: bytes, characters, words, or a Hugging Face tokenizer."""

import hashlib
import importlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError

TABLES = ("chars", "words")  # tokens are what is in the train split
UNKNOWN_WORD = "<unk>"
LINE_END = "<eos>"  # how the end of a line is called where it is a word
_WORD = re.compile(r"\n|\S+")
PIECE = 1 << 20  # a trained tokenizer gets the text in pieces of about this many characters


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A text as tokens.

    Attributes:
        tokens: [N] ids, in a small unsigned or signed integer type.
        widths: [N] bytes of the text that each token stands for; None where each is one byte.
        unknown: how many characters or words the tokenizer does not know.
    """

    tokens: NDArray[np.integer]
    widths: NDArray[np.integer] | None = None
    unknown: int = 0

    def bytes_of(self, start: int, stop: int) -> int:
        """Bytes of the text that tokens start to stop - 1 stand for."""
        if self.widths is None:
            return stop - start
        return int(self.widths[start:stop].sum(dtype=np.int64))


class Tokenizer(Protocol):
    """Maps text to ids below `vocab` and back."""

    vocab: int

    def identity(self) -> str:
        """What, beside the spec and the corpus, decides the ids; "" for nothing."""
        ...

    def encode(self, text: bytes) -> Encoded:
        """Tokens of UTF-8 text."""
        ...

    def decode(self, tokens: NDArray[np.integer]) -> str:
        """Text of tokens; what is not valid text is shown as a replacement character."""
        ...


class Bytes:
    """One token per byte."""

    vocab = 256

    def identity(self) -> str:
        return ""

    def encode(self, text: bytes) -> Encoded:
        return Encoded(tokens=np.frombuffer(text, dtype=np.uint8))

    def decode(self, tokens: NDArray[np.integer]) -> str:
        return tokens.astype(np.uint8).tobytes().decode("utf-8", errors="replace")


class Chars:
    """One token per character; ids in the order of the characters of the train split.

    Where val or test has characters that train has not, one more id, the last, stands for all of
    them, and the task says how many there are. Without such characters there is no such id: the
    table is then the usual one (65 ids on tinyshakespeare).

    Args:
        train: the text whose characters make the table, UTF-8.
        others: texts that decide whether the id for unknown characters exists.
    """

    def __init__(self, train: bytes, *others: bytes) -> None:
        self._characters = np.flatnonzero(_seen(train))
        self._ids = np.full(0x110000, -1, np.int32)
        self._ids[self._characters] = np.arange(len(self._characters))
        self._has_unknown = any((_seen(text) & (self._ids < 0)).any() for text in others)
        self.vocab = len(self._characters) + self._has_unknown

    def identity(self) -> str:
        return ""

    def encode(self, text: bytes) -> Encoded:
        """Ids of the text's characters; DataError for one that no id was kept for."""
        points = _code_points(text)
        ids = self._ids[points]
        unknown = ids < 0
        if unknown.any():
            if not self._has_unknown:
                raise DataError(
                    "task.tokenizer",
                    f"the character {chr(points[unknown][0])!r} is not in the train split.",
                    "Leave it out, or use tokenizer: bytes.",
                )
            ids[unknown] = self.vocab - 1
        widths = (1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF)).astype(np.uint8)
        small = np.uint8 if self.vocab <= 256 else np.int32
        return Encoded(tokens=ids.astype(small), widths=widths, unknown=int(unknown.sum()))

    def decode(self, tokens: NDArray[np.integer]) -> str:
        known = tokens < len(self._characters)
        points = np.full(len(tokens), 0xFFFD, np.uint32)
        points[known] = self._characters[tokens[known]]
        return points.astype("<u4").tobytes().decode("utf-32-le")


class Words:
    """One token per word between whitespace, and one, `<eos>`, per line end.

    The table is that of the train split, the most frequent word first. A word that is not in it
    becomes `<unk>` where the corpus has that word, as wikitext and PTB do, and is counted.

    Args:
        train: the text whose words make the table, UTF-8.
    """

    def __init__(self, train: bytes) -> None:
        counts = Counter(_WORD.findall(_decoded(train)))
        self.words = sorted(counts, key=lambda word: (-counts[word], word))
        self._ids = {word: place for place, word in enumerate(self.words)}
        self.vocab = len(self.words)

    def identity(self) -> str:
        return ""

    def encode(self, text: bytes) -> Encoded:
        """Ids of the text's words.

        Raises:
            DataError: there are words that the table lacks, and the corpus has no `<unk>`.
        """
        decoded = _decoded(text)
        words = _WORD.findall(decoded)
        unknown = [word for word in words if word not in self._ids]
        if unknown and UNKNOWN_WORD not in self._ids:
            raise DataError(
                "task.tokenizer",
                f"{len(unknown)} of {len(words)} words, the first {unknown[0]!r}, are not in the "
                f"train split, which has no {UNKNOWN_WORD}.",
                f"Write {UNKNOWN_WORD} for rare words of the corpus, or use tokenizer: bytes.",
            )
        other = self._ids.get(UNKNOWN_WORD, 0)
        ids = np.array([self._ids.get(word, other) for word in words], np.int32)
        starts = np.array([found.start() for found in _WORD.finditer(decoded)], np.int64)
        return Encoded(tokens=ids, widths=_widths(decoded, starts), unknown=len(unknown))

    def decode(self, tokens: NDArray[np.integer]) -> str:
        text = " ".join(self.words[token] for token in tokens.tolist())
        return re.sub(" ?\n ?", "\n", text)


class Trained:
    """A tokenizer of the `tokenizers` library, by Hugging Face name or a local tokenizer.json.

    The text is cut after line ends into pieces of about a million characters, so that a large
    corpus is encoded in parallel; only a token that would span such a cut differs.

    Args:
        name: as after `hf:` in a spec.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._inner = _load_tokenizer(name)
        self._inner.no_truncation()  # files may keep either: here every token counts
        self._inner.no_padding()
        self.vocab = int(self._inner.get_vocab_size())

    def identity(self) -> str:
        return hashlib.sha256(self._inner.to_str().encode()).hexdigest()

    def encode(self, text: bytes) -> Encoded:
        """Tokens of UTF-8 text, its pieces in parallel."""
        pieces = _pieces(_decoded(text))
        tokens, widths = [], []
        for piece, made in zip(
            pieces, self._inner.encode_batch(pieces, add_special_tokens=False), strict=True
        ):
            starts = np.array([start for start, _ in made.offsets], np.int64)
            tokens.append(np.array(made.ids, np.int32))
            widths.append(_widths(piece, starts))
        empty = np.zeros(0, np.int32)
        return Encoded(
            tokens=np.concatenate([empty, *tokens]), widths=np.concatenate([empty, *widths])
        )

    def decode(self, tokens: NDArray[np.integer]) -> str:
        return self._inner.decode(tokens.tolist())


def make_tokenizer(name: str, train: bytes, *others: bytes) -> Tokenizer:
    """The tokenizer a spec names: bytes, chars, words or hf:NAME.

    Args:
        name: as in a spec.
        train: the text that makes the table of characters or words.
        others: the other texts that will be encoded.
    """
    if name == "bytes":
        return Bytes()
    if name == "words":
        return Words(train)
    if name == "chars":
        return Chars(train, *others)
    if name.startswith("hf:"):
        return Trained(name.removeprefix("hf:"))
    raise DataError(
        "task.tokenizer", f"{name!r} is not a tokenizer.", "Write bytes, chars, words or hf:NAME."
    )


def _load_tokenizer(name: str) -> Any:
    try:
        tokenizers = importlib.import_module("tokenizers")
    except ImportError as missing:
        raise DataError(
            f"task.tokenizer hf:{name}",
            "the package `tokenizers` is not installed.",
            "Install the extra `data`: pip install 'test-time-playground[data]', or use "
            "tokenizer: bytes.",
        ) from missing
    try:
        if Path(name).is_file():
            return tokenizers.Tokenizer.from_file(name)
        return tokenizers.Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises bare Exception for every failure
        raise DataError(
            f"task.tokenizer hf:{name}",
            f"it could not be loaded ({error}).",
            "Check the name, or give the path of a local tokenizer.json after hf:.",
        ) from error


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "task.corpus",
            f"it is not UTF-8 text (byte {error.start} of a split).",
            "Use tokenizer: bytes, which takes any file.",
        ) from error


def _code_points(text: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(_decoded(text).encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _seen(text: bytes) -> NDArray[np.bool_]:
    """Which of all code points occur."""
    table = np.zeros(0x110000, np.bool_)
    table[_code_points(text)] = True
    return table


def _pieces(text: str) -> list[str]:
    pieces, start = [], 0
    while start < len(text):
        end = text.find("\n", start + PIECE)
        end = len(text) if end < 0 else end + 1
        pieces.append(text[start:end])
        start = end
    return pieces


def _widths(piece: str, starts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Bytes from each token's first character to the next token's; they sum to the piece's."""
    if not len(starts):
        return np.zeros(0, np.int32)
    points = np.frombuffer(piece.encode("utf-32-le"), dtype="<u4")
    sizes = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
    at = np.concatenate([[0], np.cumsum(sizes)])
    borders = np.concatenate([[0], at[starts[1:]], [at[-1]]])
    return np.diff(borders).astype(np.int32)
