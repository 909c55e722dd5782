"""Tasks of the harness on files that are here: its own definitions, another source of examples.

`local_wikitext`, `local_lambada_openai` and `local_piqa` read the folder PLAYGROUND_DATA names.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playground.errors import DataError
from playground.tasks import DATA_VARIABLE

PREFIX = "local_"
_TITLE = re.compile(r"^ = [^=].*[^=] = $", re.MULTILINE)  # the line that begins an article


def write_local_task(name: str, folder: Path, definition: Callable[[str], Path]) -> None:
    """Write a task file on local examples; the harness takes the rest from its own file.

    Args:
        name: such as local_piqa.
        folder: where the task file and a file with the examples are written.
        definition: name of a task of the harness -> its task file.

    Raises:
        DataError: there is no such task, or its files are not there.
    """
    own = name.removeprefix(PREFIX)
    if own not in _TASKS:
        known = ", ".join(PREFIX + task for task in _TASKS)
        raise DataError(f"--harness {name}", "it has no local form.", f"Use one of {known}.")
    split, examples, files = _TASKS[own]
    root = os.environ.get(DATA_VARIABLE)
    sources = [Path(root or ".") / file for file in files]
    if root is None or not all(file.is_file() for file in sources):
        raise DataError(
            f"--harness {name}",
            f"{DATA_VARIABLE} names no folder with {' and '.join(files)}.",
            f"Set it, or use {own}, which the harness downloads.",
        )
    target = folder / f"{name}.jsonl"
    with target.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(example) + "\n" for example in examples(*sources))
    splits = {f"{part}_split": None for part in ("training", "validation", "test")}
    task = {
        "include": str(definition(own)),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(target)}},
        **splits,
        f"{split}_split": split,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML


def _pages(file: Path) -> Iterator[dict[str, Any]]:
    """Articles of a wikitext file; of wikitext-2 as it is tokenized, with its <unk>."""
    text = file.read_text(encoding="utf-8")
    starts = [found.start() for found in _TITLE.finditer(text)]
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        yield {"page": text[start:stop]}


def _texts(file: Path) -> Iterator[dict[str, Any]]:
    """LAMBADA: texts whose last word is asked for, whole or as context and continuation."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield {
            "text": row.get("text") or f"{row['context'].rstrip()} {row['continuation'].strip()}"
        }


def _choices(file: Path, labels: Path) -> Iterator[dict[str, Any]]:
    """PIQA: two ways to a goal, and which is right."""
    lines = file.read_text(encoding="utf-8").splitlines()
    for line, label in zip(lines, labels.read_text().split(), strict=True):
        yield {**json.loads(line), "label": int(label)}


_Source = tuple[str, Callable[..., Iterator[dict[str, Any]]], tuple[str, ...]]
_TASKS: dict[str, _Source] = {
    "wikitext": ("test", _pages, ("wikitext-2/test.txt",)),
    "lambada_openai": ("test", _texts, ("lambada/lambada_openai.jsonl",)),
    "piqa": ("validation", _choices, ("piqa/valid.jsonl", "piqa/valid-labels.lst")),
}
