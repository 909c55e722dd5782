"""A corpus of many documents: where each begins."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.tasks.base import SPLITS
from playground.tasks.tokenizers import Encoded

Starts = NDArray[np.int64]


def read_jsonl(path: Path, name: str) -> list[bytes]:
    """The documents of a file with one JSON object per line, each with a `text`.

    Raises:
        DataError: a line that is none, named by its number.
    """
    documents = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                text = json.loads(line.decode())["text"]
                if not isinstance(text, str):
                    raise TypeError(f"its text is of type {type(text).__name__}")
                documents.append(text.encode())
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"task.corpus {name}",
                    f"line {number} is no JSON object with a text ({error!r}).",
                    'Write one {"text": ...} per line.',
                ) from error
    return documents


def read_folder(path: Path) -> list[bytes]:
    """The .txt files of a folder in the order of their names, each a document."""
    return [file.read_bytes() for file in sorted(path.glob("*.txt"))]


def join(documents: Sequence[bytes]) -> tuple[bytes, Starts]:
    """Documents as one text, each ended by a line end, and the byte at which each begins."""
    ended = [text if text.endswith(b"\n") else text + b"\n" for text in documents]
    sizes = np.array([0, *map(len, ended)], np.int64)
    return b"".join(ended), np.cumsum(sizes)[:-1]


def cut(
    documents: Sequence[bytes], split: tuple[float, float, float]
) -> dict[str, Sequence[bytes]]:
    """Train, val and test as runs of whole documents; the split is one of bytes, as near as it can.

    A document belongs to the part in which its middle lies; an empty test is the val part.
    """
    sizes = np.array([len(text) for text in documents], np.float64)
    middles = (np.cumsum(sizes) - sizes / 2) / max(1.0, sizes.sum())
    borders = np.searchsorted(middles, [split[0], split[0] + split[1]])
    ends = [0, int(borders[0]), int(borders[1]) if split[2] else len(documents), len(documents)]
    parts = {part: documents[ends[i] : ends[i + 1]] for i, part in enumerate(SPLITS)}
    return parts if split[2] else {**parts, "test": parts["val"]}


def separated(text: bytes, separator: str) -> Starts:
    """Where documents begin that a separator ends; a line end after it still belongs to it."""
    mark = separator.encode()
    starts, at = [0], text.find(mark)
    while at >= 0:
        at += len(mark)
        at += text[at : at + 1] == b"\n"
        starts.append(at)
        at = text.find(mark, at)
    return np.array([start for start in starts if start < len(text)], np.int64)


def first_tokens(encoded: Encoded, starts: Starts) -> Starts:
    """The tokens with which documents begin that begin at some bytes; ascending, each once."""
    if encoded.widths is None:
        return starts
    at = np.cumsum(encoded.widths, dtype=np.int64) - encoded.widths
    return np.unique(np.searchsorted(at, starts))
