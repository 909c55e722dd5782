"""Files that are whole or not there: written beside their place, then moved into it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file, then put it at `path` in one move.

    A process killed at any moment leaves the old file or the new one, never a part of either; the
    leftover beside it has the ending .part.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one move."""

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    replace_file(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one move; NaN and infinities as Python's json writes them."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path | str) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is not JSON.
        OSError: it cannot be read.
    """
    return json.loads(read_bytes(path).decode())


def read_bytes(path: Path | str) -> bytes:
    """What a file holds; quick for stores of very many small files: no file object for each.

    Raises:
        OSError: it cannot be read.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        text = part = os.read(file, _PART)
        while len(part) == _PART:
            part = os.read(file, _PART)
            text += part
        return text
    finally:
        os.close(file)


_PART = 4096  # most results are smaller: one read
