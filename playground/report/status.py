"""The runs of a store, and how far they are."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from playground.files import read_json
from playground.report.measured import read_rows


def run_rows(
    store: Path, most: int | None, plans: Iterable[Path] = ()
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A row for each of the last runs, and how many runs there are by status.

    Args:
        store: the folder with one folder per run.
        most: how many rows; None for all. Open runs come first, then those that failed, then the
            newest.
        plans: files that name the runs of a sweep or a search, each in a folder of its name.
    """
    entries = [entry for entry in os.scandir(store) if entry.is_dir()] if store.is_dir() else []
    found = [_seen(entry) for entry in entries]
    known = [one for one in found if one is not None]
    counts = Counter(status for status, _, _ in known)
    order = {"open": 0, "failed": 1}
    known.sort(key=lambda one: (order.get(one[0], 2), -one[1]))
    rows = [_row(status, Path(folder)) for status, _, folder in known[:most]]
    texts = [(plan.parent.name, plan.read_text(encoding="utf-8")) for plan in plans]
    named = [(name, text, _variants(text)) for name, text in texts]
    for row, (_, _, folder) in zip(rows, known, strict=False):
        whole = Path(folder).name
        found = (
            ": ".join(filter(None, (name, variants.get(whole, ""))))
            for name, text, variants in named
            if whole in text
        )
        row["of"] = "; ".join(found)
    return rows, dict(counts)


def _variants(plan: str) -> dict[str, str]:
    """Fingerprint -> its variant, and its place where there are several; of sweeps alone."""
    try:
        return {
            run["fingerprint"]: ", ".join(filter(None, (variant, run.get("at"))))
            for variant, entry in json.loads(plan).get("variants", {}).items()
            for run in entry["runs"]
            if run["fingerprint"]
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # a report says what is wrong with it
        return {}


def _seen(entry: "os.DirEntry[str]") -> tuple[str, float, str] | None:
    """Status, when a file of it last came or went, and folder; None for what is no run."""
    try:
        status = str(read_json(f"{entry.path}/result.json")["status"])
    except FileNotFoundError:
        if not (Path(entry.path) / "resolved.json").is_file():
            return None
        status = "open"
    except (OSError, ValueError, KeyError, TypeError):  # a report says what is wrong with it
        status = "open"
    return status, entry.stat().st_mtime, entry.path


def _row(status: str, folder: Path) -> dict[str, Any]:
    spec = _read(folder / "resolved.json").get("spec") or {}
    rows = list(read_rows(folder / "metrics.jsonl"))
    last = next((row for row in reversed(rows) if row.get("kind") == "train"), {})
    loss = last.get("loss")
    if status == "ok":
        loss = (read_json(folder / "result.json").get("metrics") or {}).get("test/loss", loss)
    return {
        "run": folder.name[:12],
        "status": status,
        "model": _model_words(spec.get("model") or {}),
        "task": (spec.get("task") or {}).get("kind", "?"),
        "seed": spec.get("seed"),
        "step": f"{last.get('step', 0)}/{(spec.get('train') or {}).get('steps', '?')}",
        "loss": loss,
    }


def _model_words(model: dict[str, Any]) -> str:
    """Its block and what it remembers by, such as `mac titans`; of layers their pattern."""
    if block := model.get("block"):
        return " ".join(filter(None, (block["kind"], (block.get("memory") or {}).get("kind"))))
    return str((model.get("layers") or {}).get("pattern", "?"))


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
