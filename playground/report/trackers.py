"""Finished or running runs handed to a tracker that people already look at.

It is fed from metrics.jsonl after the fact: training knows of no tracker, and sending twice gives
the same. The trackers are packages of their own, imported when one is asked for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from playground.errors import PlaygroundError, SpecError
from playground.report.measured import read_rows

Row = tuple[int, Mapping[str, float]]  # step, name -> number


def send(run: Path, to: str, *, project: str, folder: Path) -> int:
    """Hand one run to a tracker.

    Args:
        run: its folder in the store.
        to: tensorboard, wandb or trackio.
        project: what the tracker files it under.
        folder: where tensorboard's event files go.

    Returns:
        How many rows were sent.

    Raises:
        SpecError: an unknown tracker.
        PlaygroundError: its package is not installed; there is no such run.
    """
    if to not in TRACKERS:
        raise SpecError("--to", f"{to!r} is no tracker.", tuple(TRACKERS), to)
    if not (run / "resolved.json").is_file():
        raise PlaygroundError(f"{run}: it is no run. Name a run that `playground status` lists.")
    spec = json.loads((run / "resolved.json").read_text(encoding="utf-8")).get("spec") or {}
    rows = list(scalars(run / "metrics.jsonl"))
    TRACKERS[to](run.name[:16], spec, rows, project, folder)
    return len(rows)


def scalars(file: Path) -> Iterator[Row]:
    """Every row's numbers under names such as train/loss, val/loss and memory/layers/0/decay."""
    for row in read_rows(file):
        step, kind = row.pop("step", None), row.pop("kind", "")
        numbers = dict(_numbers(row, row.pop("split", kind)))
        if step is not None and numbers:
            yield int(step), numbers


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{name}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)


def _tensorboard(name: str, spec: Any, rows: list[Row], project: str, folder: Path) -> None:
    _package("tensorboard")
    writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder / project / name))
    writer.add_text("spec", f"```\n{json.dumps(spec, indent=2)}\n```")
    for step, numbers in rows:
        for key, value in numbers.items():
            writer.add_scalar(key, value, step)
    writer.close()


def _wandb(name: str, spec: Any, rows: list[Row], project: str, folder: Path) -> None:
    run = _package("wandb").init(project=project, id=name, name=name, config=spec, resume="allow")
    for step, numbers in _by_step(rows):
        run.log(dict(numbers), step=step)
    run.finish()


def _trackio(name: str, spec: Any, rows: list[Row], project: str, folder: Path) -> None:
    trackio = _package("trackio")
    trackio.init(project=project, name=name, config=spec)
    for step, numbers in _by_step(rows):
        trackio.log({**numbers, "step": step})
    trackio.finish()


TRACKERS: Mapping[str, Callable[[str, Any, list[Row], str, Path], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def _by_step(rows: list[Row]) -> list[Row]:
    """One row per step, in order: such trackers take no step twice."""
    merged: dict[int, dict[str, float]] = {}
    for step, numbers in rows:
        merged.setdefault(step, {}).update(numbers)
    return sorted(merged.items())


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        problem = f"{name} is not installed here. Install it: pip install {name}."
        raise PlaygroundError(problem) from None
