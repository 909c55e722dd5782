"""Rows of a benchmark as Markdown and as JSON, with what they were measured on."""

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from playground.bench.row import Row

COLUMNS = ("rule", "class", "path", "mode", "gates", "shape", "ms", "tokens/s", "of peak")


def stamp() -> dict[str, Any]:
    """Date, versions, threads and kind of processor; nothing that names the machine."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "flush_denormal": True,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def as_json(rows: Sequence[Row], about: dict[str, Any]) -> str:
    """The rows and what they were measured on, as one JSON document."""
    return json.dumps({"about": about, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n"


def as_markdown(rows: Sequence[Row]) -> str:
    """A table; a row without a time says why in the place of its numbers."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in rows)]) + "\n"


def _cells(row: Row) -> list[str]:
    first = [row.rule, row.rule_class, row.path, row.mode, row.scale, str(row.shape)]
    if row.times is None or row.tokens_per_s is None:
        return [*first, row.said.replace("|", "\\|"), "", ""]
    t = row.times
    share = "" if row.peak_share is None else f"{100 * row.peak_share:.0f} %"
    spread = f"{t.median:.2f} [{t.p20:.2f}, {t.p80:.2f}]"
    return [*first, spread, f"{row.tokens_per_s:,.0f}", share]
