"""Where text comes from and how it is cut into train, val and test."""

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.tasks import documents
from playground.tasks.base import SPLITS
from playground.tasks.data_files import existing, find_data

Fractions = tuple[float, float, float]
DEFAULT_SPLIT: Fractions = (0.9, 0.05, 0.05)
_FOLDER_NAMES = {
    "train": ("train.txt",),
    "val": ("valid.txt", "val.txt", "validation.txt"),
    "test": ("test.txt",),
}
_OTHER_CODE = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
# The code pages are so alike that a split by file would put near copies on both sides.
_GENERATED_TABLES = {"encodings", "pydoc_data"}
_LEFT_OUT = _OTHER_CODE | _GENERATED_TABLES


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Text in three parts.

    Attributes:
        parts: split -> its text, UTF-8 (any bytes for the bytes tokenizer).
        sha256: identity of the data.
        facts: where it came from and where it was cut; JSON-ready.
        starts: split -> the bytes at which its documents begin; None where nothing tells.
    """

    parts: Mapping[str, bytes]
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    starts: Mapping[str, NDArray[np.int64]] | None = None


def load_corpus(name: str, split: Fractions = DEFAULT_SPLIT) -> Corpus:
    """Read a corpus once per process.

    Args:
        name: "python-stdlib"; a file (cut in three contiguous parts); a .jsonl file with a `text`
            per line, or a folder of .txt files (cut between documents); a folder with train.txt,
            valid.txt or val.txt, and test.txt; or "hf:NAME[:CONFIG]". Paths are also looked up
            under the folder that the variable PLAYGROUND_DATA names.
        split: fractions of train, val and test; an empty test is the same text as val.

    Raises:
        DataError: not found, not readable, too small to cut, or parts given twice.
    """
    if name == "python-stdlib":
        return _python_stdlib(split)
    if name.startswith("hf:"):
        from playground.tasks.hub import load_hub

        return _from_parts(load_hub(name), split, name)
    path = find_data(name, "task.corpus")
    if path.is_dir():
        return _folder(path, name, split)
    if path.suffix == ".jsonl":
        return _of_documents(documents.read_jsonl(path, name), name, split)
    try:
        stat = path.stat()
        return _file(path, name, split, (stat.st_mtime_ns, stat.st_size))
    except OSError as error:
        raise DataError(f"task.corpus {name}", f"it cannot be read ({error.strerror}).") from error


def check_utf8(corpus: Corpus) -> None:
    """Refuse a text that has no characters.

    Raises:
        DataError: naming the corpus, and the first byte that is no UTF-8.
    """
    for part in SPLITS:
        try:
            corpus.parts[part].decode()
        except UnicodeDecodeError as error:
            problem = f"it is not UTF-8 text (byte {error.start} of its {part} split)."
            fix = "Use tokenizer: bytes, which takes any file."
            raise DataError(f"task.corpus {corpus.facts['corpus']}", problem, fix) from error


def without_test(name: str, split: Fractions = DEFAULT_SPLIT) -> bool:
    """Whether the test part of a corpus is the val part, without reading it.

    False too where it is not here, or comes from a hub: then only reading it can tell.
    """
    if split[2] == 0:
        return True
    path = None if name.startswith("hf:") else existing(name)
    if path is None:
        return False
    there = {
        part for part, files in _FOLDER_NAMES.items() if any((path / f).is_file() for f in files)
    }
    return there == {"train", "val"}


@functools.lru_cache(maxsize=4)
def _file(path: Path, name: str, split: Fractions, stamp: tuple[int, int]) -> Corpus:
    """`stamp` makes a changed file a new entry of the cache."""
    text = path.read_bytes()
    borders = _borders(text, split)
    parts = {part: text[start:stop] for part, (start, stop) in borders.items()}
    return Corpus(
        parts=_with_test(parts, split),
        sha256=hashlib.sha256(text).hexdigest(),
        facts={
            "corpus": name,
            "split": "contiguous",
            "borders": {part: list(border) for part, border in borders.items()},
        },
    )


def _borders(text: bytes, split: Fractions) -> dict[str, tuple[int, int]]:
    """Byte ranges of the three parts; a cut never falls inside a UTF-8 character."""
    cuts = [0]
    for fraction in (split[0], split[0] + split[1]):
        # A product that should be whole may fall short by rounding.
        cut = int(len(text) * fraction + 1e-6)
        cuts.append(character_start(text, cut))
    cuts.append(len(text))
    if split[2] == 0:
        cuts[2] = len(text)
    return {part: (cuts[i], cuts[i + 1]) for i, part in enumerate(SPLITS)}


def character_start(text: bytes, cut: int) -> int:
    """The first place from `cut` on where a UTF-8 character starts; `cut` if it is not UTF-8."""
    for at in range(cut, cut + 4):
        if at >= len(text) or text[at] & 0xC0 != 0x80:
            return at
    return cut


def _with_test(parts: Mapping[str, bytes], split: Fractions) -> dict[str, bytes]:
    """An empty test part is the val part; `describe` says so."""
    if split[2] == 0:
        return {**parts, "test": parts["val"]}
    return dict(parts)


def _folder(path: Path, name: str, split: Fractions) -> Corpus:
    parts: dict[str, bytes] = {}
    for part, names in _FOLDER_NAMES.items():
        found = [path / file for file in names if (path / file).is_file()]
        if len(found) > 1:
            files = " and ".join(file.name for file in found)
            raise DataError(f"task.corpus {name}", f"it has both {files}.", "Keep one of them.")
        if found:
            parts[part] = found[0].read_bytes()
    if not parts and len(found := documents.read_folder(path)) > 1:
        return _of_documents(found, name, split)
    if "train" not in parts:
        present = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise DataError(
            f"task.corpus {name}",
            f"the folder has no train.txt (it has {present}).",
            "Name one file, or add train.txt, valid.txt and test.txt, or several .txt files.",
        )
    return _from_parts(parts, split, name)


def _of_documents(pieces: list[bytes], name: str, split: Fractions) -> Corpus:
    """A corpus that is cut between documents."""
    joined = {part: documents.join(of) for part, of in documents.cut(pieces, split).items()}
    parts = {part: text for part, (text, _) in joined.items()}
    if split[2] == 0:
        parts["test"] = parts["val"]
    starts = {part: found for part, (_, found) in joined.items()}
    counts = {part: len(found) for part, found in starts.items()}
    facts = {"split": "contiguous, between documents", "documents": counts}
    return _corpus(name, parts, facts, starts)


def _from_parts(parts: Mapping[str, bytes], split: Fractions, name: str) -> Corpus:
    """A corpus that comes cut, or, with only a train part, is cut here."""
    if set(parts) == {"train"}:
        whole = parts["train"]
        borders = _borders(whole, split)
        cut = {part: whole[start:stop] for part, (start, stop) in borders.items()}
        listed = {part: list(border) for part, border in borders.items()}
        facts = {"split": "contiguous", "borders": listed}
        return _corpus(name, _with_test(cut, split), facts)
    if split != DEFAULT_SPLIT:
        raise DataError(
            "task.split",
            f"{name} comes with its own {', '.join(parts)} parts.",
            "Leave task.split out, or name one file.",
        )
    if "val" not in parts:
        raise DataError(
            f"task.corpus {name}", "it has no val part.", "Add valid.txt, or name one file."
        )
    given = {"test": parts["val"], **parts}
    return _corpus(name, given, {"split": "as it comes: " + ", ".join(parts)})


def _corpus(
    name: str,
    parts: Mapping[str, bytes],
    facts: Mapping[str, Any],
    starts: Mapping[str, NDArray[np.int64]] | None = None,
) -> Corpus:
    digest = hashlib.sha256()
    for part in SPLITS:
        digest.update(f"{part} {len(parts[part])}\n".encode())
        digest.update(parts[part])
    facts = {"corpus": name, **facts}
    return Corpus(parts=parts, sha256=digest.hexdigest(), facts=facts, starts=starts)


@functools.lru_cache(maxsize=2)
def _python_stdlib(split: Fractions) -> Corpus:
    """The sources of the running Python's own library, split by file.

    A file belongs to a part by a hash of its path, so that another Python version moves none.
    """
    root = Path(sysconfig.get_path("stdlib"))
    pieces: dict[str, list[bytes]] = {part: [] for part in SPLITS}
    for path in sorted(_sources(root)):
        pieces[_part_of(path.relative_to(root).as_posix(), split)].append(path.read_bytes())
    if not pieces["train"]:
        raise DataError(
            "task.corpus python-stdlib",
            f"this Python's library has no .py files under {root}.",
            "Name a text file instead.",
        )
    parts = _with_test({part: b"".join(files) for part, files in pieces.items()}, split)
    facts = {
        "split": "by file, by a hash of its path",
        "files": {part: len(files) for part, files in pieces.items()},
        "python": sys.version.split()[0],
    }
    starts = {
        part: np.cumsum([0, *map(len, files)], dtype=np.int64)[:-1]
        for part, files in pieces.items()
    }
    if split[2] == 0:
        starts["test"] = starts["val"]
    return _corpus("python-stdlib", parts, facts, starts)


def _sources(root: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root):
        # Pruned here: site-packages may hold a hundred times as many files.
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [
            Path(folder) / file
            for file in files
            if file.endswith(".py") and not file.startswith("_sysconfigdata")
        ]
    return found


def _part_of(path: str, split: Fractions) -> str:
    at = int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") / 2**64
    if at < split[0]:
        return "train"
    return "val" if at < split[0] + split[1] or split[2] == 0 else "test"
