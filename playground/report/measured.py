"""What a run measured: the numbers of its result, and the rows of its metrics.jsonl."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def numbers(found: Mapping[str, Any] | None) -> dict[str, float]:
    """The numeric entries; None stands for a value that was not finite."""
    return {
        name: math.nan if value is None else float(value)
        for name, value in (found or {}).items()
        if value is None or isinstance(value, int | float)
    }


def load_curve(folder: Path) -> tuple[Mapping[str, float], ...]:
    """Validation rows by step; a resumed run may have written a step twice: the last one counts."""
    rows: dict[int, Mapping[str, float]] = {}
    for row in read_rows(folder / "metrics.jsonl"):
        if row.get("kind") == "eval" and row.get("split") == "val" and "step" in row:
            rows[int(row["step"])] = numbers(row)
    return tuple(rows[step] for step in sorted(rows))


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a metrics.jsonl that can be read; a kill leaves half a line."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
