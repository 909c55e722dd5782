"""Text of a Hugging Face data set; the library is imported only when one is named."""

import importlib
from typing import Any

from playground.errors import DataError

_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
_PARTS["test"] = "test"


def load_hub(name: str) -> dict[str, bytes]:
    """The splits of a data set as text, rows joined by line ends.

    Args:
        name: "hf:NAME" or "hf:NAME:CONFIG".

    Raises:
        DataError: the extra is missing, the data set cannot be loaded, or it has no text column.
    """
    where = f"task.corpus {name}"
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as missing:
        raise DataError(
            where,
            "the package `datasets` is not installed.",
            "Install the extra `data`: pip install 'test-time-playground[data]', or give the path "
            "of a local file or folder instead.",
        ) from missing
    title, _, config = name.removeprefix("hf:").partition(":")
    try:
        loaded = datasets.load_dataset(title, config or None)
    except Exception as error:  # the library raises many unrelated types, all about the data set
        raise DataError(
            where,
            f"it could not be loaded ({error}).",
            "Check the name and configuration, or give the path of a local file or folder.",
        ) from error
    parts = {_PARTS[split]: _text(rows, where) for split, rows in loaded.items() if split in _PARTS}
    if "train" not in parts:
        raise DataError(where, f"it has no train split, only {', '.join(loaded)}.")
    return parts


def _text(rows: Any, where: str) -> bytes:
    if "text" not in rows.column_names:
        raise DataError(
            where,
            f"it has no column `text` (it has {', '.join(rows.column_names)}).",
            "Write the column you mean to a local file and give its path.",
        )
    texts = rows["text"]
    return "".join(row if row.endswith("\n") else row + "\n" for row in texts).encode()
