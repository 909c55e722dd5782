"""Where labelled DNA sequences come from, and how they are cut into train, val and test."""

import csv
import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from playground.errors import DataError
from playground.tasks.counter import below, draws
from playground.tasks.data_files import find_data

GENERATOR = "dna-1"
MOTIFS = ("TATAAAGC", "GGCCAATC")  # a generated sequence has both; which is first is its class
GENERATED = 2000  # sequences of the generated source, half of each class
LENGTH = 60  # of a generated sequence
VAL_SHARE = 20  # one sequence in so many of the train part is val


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Sequences and the names of their classes."""

    sequences: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source as it comes: its parts, and the sha256 of it all.

    Attributes:
        parts: "train" and "test", or "all".
        sha256: identity of the data.
    """

    parts: dict[str, Labelled]
    sha256: str


def load_labelled(name: str, *, own_test: bool) -> Source:
    """Read a source.

    Args:
        name: "generated", a csv with the columns sequence and class, or a folder.
        own_test: whether it must have a train and a test part of its own (a folder with both).

    Raises:
        DataError: it is not there, cannot be read, or has other parts.
    """
    if name == "generated":
        parts = {"all": _generated()}
    else:
        path = find_data(name, "task.source")
        parts = _folder(path, name) if path.is_dir() else {"all": _csv(path, name)}
    if own_test != ("test" in parts):
        has = "a test part of its own" if "test" in parts else "no test part of its own"
        fix = "Write folds: 0." if "test" in parts else "Write folds: 5."
        raise DataError(f"task.source {name}", f"it has {has}.", fix)
    if not all(s.isascii() for part in parts.values() for s in part.sequences):
        fix = "Write A, C, G, T and N."
        raise DataError(f"task.source {name}", "a sequence has other letters than ASCII's.", fix)
    if min(len(set(part.labels)) for part in parts.values()) < 2:
        raise DataError(
            f"task.source {name}",
            "it has fewer than two classes.",
            "Give a csv with the columns sequence and class, or a folder of class folders.",
        )
    digest = hashlib.sha256()
    for split, part in sorted(parts.items()):
        digest.update(f"{split} {part!r}".encode())
    return Source(parts=parts, sha256=digest.hexdigest())


def _csv(path: Path, name: str) -> Labelled:
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"task.source {name}", f"it cannot be read ({error}).", "Give a csv file or a folder."
        ) from error
    if not rows or not {"sequence", "class"} <= rows[0].keys():
        found = ", ".join(rows[0]) if rows else "no rows"
        raise DataError(
            f"task.source {name}",
            f"it has not the columns sequence and class (it has {found}).",
            "Name them so in the first line.",
        )
    for number, row in enumerate(rows, start=2):
        if not row["sequence"] or not row["class"]:
            raise DataError(
                f"task.source {name}", f"line {number} has no sequence or class.", "Remove it."
            )
    return Labelled(
        sequences=tuple(row["sequence"] for row in rows),
        labels=tuple(row["class"] for row in rows),
    )


def _folder(path: Path, name: str) -> dict[str, Labelled]:
    """GenomicBenchmarks' folders: train/CLASS/*.txt and test/CLASS/*.txt, or CLASS/*.txt."""
    given = [split for split in ("train", "test") if (path / split).is_dir()]
    parts = {split: _classes(path / split) for split in given} or {"all": _classes(path)}
    if len(given) == 1 or not all(part.sequences for part in parts.values()):
        raise DataError(
            f"task.source {name}",
            f"it has only {given[0]}." if len(given) == 1 else "a part of it has no .txt file.",
            "Give a folder with train/CLASS/*.txt and test/CLASS/*.txt, or with CLASS/*.txt.",
        )
    return parts


def _classes(folder: Path) -> Labelled:
    files = sorted(folder.glob("*/*.txt"))
    return Labelled(
        sequences=tuple(
            file.read_text(encoding="utf-8", errors="replace").strip() for file in files
        ),
        labels=tuple(file.parent.name for file in files),
    )


@lru_cache(maxsize=1)
def _generated() -> Labelled:
    """Random bases around two motifs, whose order is the class: counting words does not tell."""
    raw = draws(GENERATOR, 0, "source", 0, GENERATED, LENGTH + 2)
    sequences, labels, half, size = [], [], LENGTH // 2, len(MOTIFS[0])
    for number, row in enumerate(raw):
        bases = "".join("ACGT"[int(i)] for i in below(row[2:], 4))
        places = [int(at) + half * i for i, at in enumerate(below(row[:2], half - size))]
        made = _planted(bases, places, number % 2)
        if sum(made.count(motif) for motif in MOTIFS) != 2:  # one more by chance
            made = _planted("AC" * half, places, number % 2)
        sequences.append(made)
        labels.append(str(number % 2))
    return Labelled(sequences=tuple(sequences), labels=tuple(labels))


def _planted(bases: str, places: list[int], turned: int) -> str:
    for at, motif in zip(places, MOTIFS[::-1] if turned else MOTIFS, strict=True):
        bases = bases[:at] + motif + bases[at + len(motif) :]
    return bases


def split_folds(source: Source, folds: int, fold: int) -> dict[str, Labelled]:
    """Train, val and test of a source.

    Args:
        source: as it was read.
        folds: parts it is cut into; 0 where it has its own test part.
        fold: which of them is test.

    Raises:
        DataError: a split is left without sequences.
    """
    if folds:
        (whole,) = source.parts.values()
        dealt = _dealt(whole, folds)
        test = [i for i, part in enumerate(dealt) if part == fold]
        learned = _chosen(whole, [i for i, part in enumerate(dealt) if part != fold])
        splits = {"test": _chosen(whole, test)}
    else:
        learned, splits = source.parts["train"], {"test": source.parts["test"]}
    held = _dealt(learned, VAL_SHARE)
    splits["train"] = _chosen(learned, [i for i, part in enumerate(held) if part])
    splits["val"] = _chosen(learned, [i for i, part in enumerate(held) if not part])
    for split, part in splits.items():
        if len(set(part.labels)) < 2:
            raise DataError(
                "task.source",
                f"it has too few sequences: {split} has not two classes.",
                "Use more sequences, or fewer folds.",
            )
    return splits


def _dealt(part: Labelled, count: int) -> list[int]:
    """Which of `count` parts each sequence goes to: within a class in turn, by sha256."""
    pairs = sorted(set(zip(part.labels, part.sequences, strict=True)), key=_by_sha)
    turns: dict[str, int] = {}
    place: dict[tuple[str, str], int] = {}
    for label, sequence in pairs:
        turn = turns.get(label, 0)
        place[label, sequence] = turn % count
        turns[label] = turn + 1
    return [place[pair] for pair in zip(part.labels, part.sequences, strict=True)]


def _by_sha(pair: tuple[str, str]) -> bytes:
    return hashlib.sha256(pair[1].encode()).digest()


def _chosen(part: Labelled, rows: list[int]) -> Labelled:
    return Labelled(
        sequences=tuple(part.sequences[i] for i in rows), labels=tuple(part.labels[i] for i in rows)
    )
