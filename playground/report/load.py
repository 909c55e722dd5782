"""Result files to plain values."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from playground.errors import DataError, likest
from playground.files import read_json
from playground.report import text
from playground.report.measured import numbers
from playground.report.sweep import Run, Sweep, Tuned, Variant

DEFAULT_METRICS = ("test/loss",)
MOST_NAMES = 8  # of other sweeps that an error lists


def load_sweep(sweep_dir: Path, store_dir: Path) -> Sweep:
    """Read a sweep's plan and whatever its runs left.

    Args:
        sweep_dir: the folder with sweep.json.
        store_dir: the folder with one folder per fingerprint.

    Raises:
        DataError: sweep.json is missing or is not one.
    """
    path = sweep_dir / "sweep.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        baseline = str(plan["baseline"])
        planned = _variants(plan, store_dir)
        tuned = {n: _tuned(store_dir, n, entry) for n, entry in (plan.get("tuned") or {}).items()}
    except FileNotFoundError as error:
        raise DataError(str(sweep_dir), "it has no sweep.json.", _to_name(sweep_dir)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"it is not the plan of a sweep ({type(error).__name__}: {error})."
        raise DataError(str(path), problem, "Run the sweep again: runs are kept.") from error
    if baseline not in planned:
        problem = f"its baseline {baseline!r} is none of its variants."
        raise DataError(str(path), problem, f"They are {', '.join(planned)}.")
    shown: Mapping[str, Any] = plan.get("report") or {}
    return Sweep(
        name=str(plan.get("name") or sweep_dir.name),
        baseline=baseline,
        variants=(planned.pop(baseline), *planned.values()),
        task=plan.get("task") or {},
        metrics=tuple(shown.get("metrics") or DEFAULT_METRICS),
        formats=tuple(shown.get("formats") or ("md", "html", "csv")),
        test=str(shown.get("test") or "paired_t"),
        correct=str(shown.get("correct") or "holm"),
        matched=plan.get("matched") or {},
        tuned=tuned,
        audits=tuple(plan.get("audits") or ()),
        select=str(plan.get("select") or ""),
        x=str(shown.get("x") or "auto"),
    )


def _to_name(folder: Path) -> str:
    """What to do about a sweep that is not there; those beside it, similar names first."""
    names = [plan.parent.name for plan in folder.parent.glob("*/sweep.json")]
    shown = likest(folder.name, names, MOST_NAMES)
    more = f", or name one that is there: {', '.join(shown)}" if shown else ""
    return f"Start the sweep{more}."


def _variants(plan: Mapping[str, Any], store_dir: Path) -> dict[str, Variant]:
    return {
        name: Variant(
            name=name,
            overrides=entry.get("overrides") or {},
            dropped=tuple(entry.get("dropped") or ()),
            runs=tuple(_load_run(store_dir, name, run) for run in entry["runs"]),
        )
        for name, entry in plan["variants"].items()
    }


def _tuned(store_dir: Path, variant: str, entry: Mapping[str, Any]) -> Tuned:
    at = [(point["values"], run) for point in entry["points"] for run in point.get("runs") or ()]
    runs = [(values, _load_run(store_dir, variant, run)) for values, run in at]
    return Tuned(
        points=tuple((point["values"], point["score"]) for point in entry["points"]),
        chosen=entry["chosen"],
        edges=tuple(entry["edges"]),
        runs=tuple(run for _, run in runs),
        failed=tuple(
            f"{text.plain(values)}{f', {run.at}' if run.at else ''}, seed {run.seed}: "
            f"{run.reason or run.status}"
            for values, run in runs
            if run.status == "failed"
        ),
    )


def _load_run(store_dir: Path, variant: str, entry: Mapping[str, Any]) -> Run:
    fingerprint = str(entry["fingerprint"] or "")
    planned = Run(
        variant=variant,
        seed=int(entry["seed"]),
        at=str(entry.get("at") or ""),
        fingerprint=fingerprint,
        folder=f"{store_dir}/{fingerprint}" if fingerprint else "",
        status="missing",
        reason="its values are still being tuned",
    )
    return _finished(planned) if fingerprint else planned


def _finished(run: Run) -> Run:
    """The run with what its folder says of its end."""
    try:
        result = read_json(f"{run.folder}/result.json")
        return replace(
            run,
            status="ok" if result["status"] == "ok" else "failed",
            reason=str(result.get("reason") or ""),
            metrics=numbers(result.get("metrics")),
            floors=numbers(result.get("floors")),
            computed=str(result.get("computed") or ""),
            **{name: result.get(name) for name in _TIMES},
            # a run that could not be carried out has no model: its sizes are not 0
            **{name: result.get(name) if result.get("params") else None for name in _SIZES},
        )
    except FileNotFoundError:
        begun = Path(run.folder).is_dir()
        return replace(
            run, reason="not finished: it has no result.json" if begun else "not started"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"result.json cannot be read ({type(error).__name__}: {error})"
        return replace(run, status="failed", reason=reason)


_SIZES = ("params", "state_bytes", "flops_per_token")
_TIMES = ("tokens", "wall_s", "began", "ended")
