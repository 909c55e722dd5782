"""Where polyphonic music comes from: a file with its three splits, or a small generated source."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from playground.errors import DataError
from playground.spec.tasks.music import KEYS
from playground.tasks.base import SPLITS
from playground.tasks.counter import below, draws
from playground.tasks.data_files import read_once

GENERATOR = "chords-1"
PIECES = {"train": 96, "val": 24, "test": 24}  # of the generated source
FRAMES = 48  # of each of its pieces
STAY = 8  # in one of so many frames a chord stays
# Triads of a key, and where each goes next: (most often, else).
CHORDS = ((0, 4, 7), (2, 5, 9), (4, 7, 11), (5, 9, 12), (7, 11, 14), (9, 12, 16))
NEXT = ((3, 5), (4, 4), (5, 3), (4, 1), (0, 5), (1, 3))
LOWEST = 30  # key of the generated source's tonic
OFTEN = 3  # in so many of four changes the first of the two

Roll = NDArray[np.uint8]  # [frames, KEYS], 1 where a key sounds


@dataclass(frozen=True, kw_only=True)
class Rolls:
    """The pieces of each split, and the sha256 of it all."""

    parts: Mapping[str, tuple[Roll, ...]]
    sha256: str


def load_rolls(name: str) -> Rolls:
    """Read a source once per process.

    Args:
        name: "generated"; or a file with the published splits: .mat (cells traindata, validdata,
            testdata of 0/1 frames) or .npz (the same names, bits packed over the 88 keys, and
            NAME_len, the frames of each piece). Looked up under PLAYGROUND_DATA too.

    Raises:
        DataError: it is not there, or holds something else.
    """
    if name == "generated":
        return _generated()
    return read_once(name, "task.source", _file)


def _file(path: Path, name: str) -> Rolls:
    try:
        content = path.read_bytes()
        read = _read_mat if path.suffix == ".mat" else _read_npz
        parts = {split: read(content, part) for split, part in zip(SPLITS, _NAMES, strict=True)}
    except _UNREADABLE as error:
        raise DataError(
            f"task.source {name}",
            f"it holds no piano rolls ({error}).",
            "Name a .mat or .npz file of traindata, validdata and testdata.",
        ) from error
    for split, rolls in parts.items():
        if not rolls or min(len(roll) for roll in rolls) < 2:
            problem = f"its {split} split has no pieces, or one of less than two frames."
            raise DataError(f"task.source {name}", problem, "Name another file.")
    return Rolls(parts=parts, sha256=hashlib.sha256(content).hexdigest())


# what numpy and scipy raise of files that are none, cut off, or of another version
_UNREADABLE = (OSError, EOFError, ValueError, LookupError, TypeError, NotImplementedError,
               zipfile.BadZipFile)  # fmt: skip
_NAMES = ("traindata", "validdata", "testdata")


def _read_npz(content: bytes, part: str) -> tuple[Roll, ...]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        packed, lengths = file[part], file[f"{part}_len"]
    frames = np.unpackbits(packed, axis=1)
    if packed.shape[1] != -(-KEYS // 8) or frames[:, KEYS:].any():
        raise ValueError(f"{part} is not of {KEYS} keys in {-(-KEYS // 8)} bytes")
    frames = frames[:, :KEYS]
    if len(frames) != lengths.sum():
        raise ValueError(f"{part} has {len(frames)} frames, its pieces {lengths.sum()}")
    return tuple(_checked(roll) for roll in np.split(frames, np.cumsum(lengths)[:-1]))


def _read_mat(content: bytes, part: str) -> tuple[Roll, ...]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        cells: Any = loadmat(io.BytesIO(content))[part]
    except MatReadError as error:
        raise ValueError(str(error)) from None
    return tuple(_checked(roll) for roll in cells.ravel())


def _checked(roll: NDArray[Any]) -> Roll:
    if roll.ndim != 2 or roll.shape[1] != KEYS or not np.isin(roll, (0, 1)).all():
        raise ValueError(f"a piece of shape {roll.shape}, not frames of {KEYS} keys, 0 or 1")
    return roll.astype(np.uint8)


@lru_cache(maxsize=1)
def _generated() -> Rolls:
    """Triads that follow each other as a Markov chain, each piece in a key of its own."""
    parts = {}
    for split, count in PIECES.items():
        raw = draws(GENERATOR, 0, split, 0, count, 2 + 2 * FRAMES)
        parts[split] = tuple(_piece(row) for row in raw)
    return Rolls(parts=parts, sha256=hashlib.sha256(GENERATOR.encode()).hexdigest())


def _piece(raw: NDArray[np.uint64]) -> Roll:
    tonic = LOWEST + int(below(raw[:1], 12)[0])
    chord = int(below(raw[1:2], len(CHORDS))[0])
    stays, turns = below(raw[2 : 2 + FRAMES], STAY), below(raw[2 + FRAMES :], OFTEN + 1)
    roll = np.zeros((FRAMES, KEYS), np.uint8)
    for t in range(FRAMES):
        roll[t, [tonic + step for step in CHORDS[chord]]] = 1
        if stays[t]:
            chord = NEXT[chord][int(turns[t] == OFTEN)]
    return roll


def next_chances(frame: Roll) -> NDArray[np.float64]:
    """What the generated source's own rules say of the next frame: [KEYS] chances.

    A triad of the source belongs to several keys; all of those are equally likely here, though
    frames before this one may tell.
    """
    found = np.zeros(KEYS)
    readings = 0
    for tonic in range(LOWEST, LOWEST + 12):
        for chord, steps in enumerate(CHORDS):
            if not _is_chord(frame, tonic, steps):
                continue
            readings += 1
            changes = ((chord, 1 / STAY), (NEXT[chord][0], OFTEN), (NEXT[chord][1], 1))
            for other, weight in changes:
                share = weight if other == chord else weight / (OFTEN + 1) * (1 - 1 / STAY)
                found[[tonic + step for step in CHORDS[other]]] += share
    return found / readings


def _is_chord(frame: Roll, tonic: int, steps: tuple[int, ...]) -> bool:
    return set(np.flatnonzero(frame)) == {tonic + step for step in steps}
