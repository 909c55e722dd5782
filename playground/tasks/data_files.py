"""Files of data: where they are looked up, and that each is read once."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from playground.errors import DataError
from playground.spec.raw import DATA_FIELDS, MORE_DATA, is_corpus_path

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
    if found := existing(name):
        return found
    tried = _places(name)
    ways = ["Give another path"]
    ways += [] if tried[0].is_absolute() else [f"set {DATA_VARIABLE} to the folder of your data"]
    ways += ["use python-stdlib or hf:NAME"] if field == "task.corpus" else []
    raise DataError(
        f"{field} {name}",
        f"there is no such file or folder (looked at {', '.join(map(str, tried))}).",
        f"{', or '.join(ways)}.",
    )


def existing(name: str) -> Path | None:
    """As `find_data`; None where there is no such file or folder."""
    return next((path for path in _places(name) if path.exists()), None)


def missing_data(task: object) -> dict[str, str]:
    """What a task reads that `find_data` would not find, by the field that names it.

    Args:
        task: what a person wrote of it; names of a hub are not looked up.
    """
    named = {field: getattr(task, field, "") for field in (*DATA_FIELDS, *MORE_DATA)}
    files = {f: n for f, n in named.items() if isinstance(n, str) and is_corpus_path(n)}
    return {f: n for f, n in files.items() if existing(n) is None}


def _places(name: str) -> list[Path]:
    root, own = os.environ.get(DATA_VARIABLE), Path(name).expanduser()
    return [own, Path(root) / name] if root and not own.is_absolute() else [own]


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
