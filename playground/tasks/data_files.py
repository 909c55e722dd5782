"""Files of data: where they are looked up, and that each is read once."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from playground.errors import DataError

DATA_VARIABLE = "PLAYGROUND_DATA"
KEPT = 8  # files of a process

T = TypeVar("T")


def find_data(name: str, field: str) -> Path:
    """A file or folder as it is named, or under the folder that PLAYGROUND_DATA names.

    Args:
        name: a path.
        field: where it was written, for the error.

    Raises:
        DataError: it is at neither place.
    """
    tried = [Path(name).expanduser()]
    if root := os.environ.get(DATA_VARIABLE):
        tried.append(Path(root) / name)
    for path in tried:
        if path.exists():
            return path
    use = " or use python-stdlib or hf:NAME." if field == "task.corpus" else ""
    raise DataError(
        f"{field} {name}",
        f"there is no such file or folder (looked at {', '.join(map(str, tried))}).",
        "Give a path, set PLAYGROUND_DATA to the folder of your data" + (f",{use}" if use else "."),
    )


def read_once(name: str, field: str, read: Callable[[Path, str], T]) -> T:
    """What a file holds, read once per process and again when the file has changed.

    Args:
        name: as of `find_data`.
        field: as of `find_data`.
        read: (path, name) -> what it holds; a function of a module, it is part of the key.

    Raises:
        DataError: it is not there, or `read` says what is wrong with it.
    """
    path = find_data(name, field)
    stat = path.stat()
    return _read(read, path, name, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=KEPT)
def _read(read: Callable[[Path, str], Any], path: Path, name: str, stamp: tuple[int, int]) -> Any:
    """`stamp` makes a changed file a new entry of the cache."""
    return read(path, name)
