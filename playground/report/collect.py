"""From run stores to records: which finished runs belong to the experiments of the page.

A run belongs to an experiment if its spec, read by this version, is the experiment's: so a new
field whose default changes nothing does not orphan what was trained before it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playground.errors import DataError, SpecError
from playground.report.again import Again, again
from playground.report.page import Experiment, Page
from playground.report.records import Json, Record, joined, run_entry
from playground.spec import ExecutionSpec, RunSpec, SweepSpec, convert, load, override, portable

Stored = Mapping[str, Sequence[Path]]  # identity of a spec -> folders of its runs


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was found.

    Attributes:
        records: those that are new or have changed, by name.
        again: what the stores have of each of them, beside the record.
        notes: what was passed by, and why.
    """

    records: dict[str, Record] = field(default_factory=dict[str, Record])
    again: dict[str, Again] = field(default_factory=dict[str, Again])
    notes: list[str] = field(default_factory=list[str])


def collect(page: Page, root: Path, stores: Sequence[Path], old: Mapping[str, Record]) -> Collected:
    """Records of the page's experiments from everything that lies in the stores.

    Args:
        page: names the experiments.
        root: what their specs are relative to.
        stores: folders that hold runs/ and sweeps/.
        old: the records so far; finished runs of an unchanged spec are added to them.

    Raises:
        SpecError: a spec of the page cannot be used.
        DataError: a store has no runs, or a result that cannot be read.
    """
    found = Collected()
    stored = _stored(stores, found.notes)
    for name, experiment in page.experiments().items():
        if not experiment.spec:
            continue
        if not (root / experiment.spec).is_file():
            found.notes.append(f"{name}: there is no {experiment.spec}")
            continue
        spec = load(root / experiment.spec, *experiment.words)
        if isinstance(spec, RunSpec):
            new = _runs_record(name, experiment, spec, stored)
        elif isinstance(spec, SweepSpec):
            new = _sweep_record(name, experiment, spec, stores, found.notes)
        else:
            continue
        if new is not None:
            found.records[name] = joined(old.get(name), new)
            found.again[name] = again(old.get(name), new)
    return found


def identity_of(spec: RunSpec | SweepSpec) -> str:
    """What a run or sweep computes, but for its seed, as text that is the same everywhere."""
    if isinstance(spec, RunSpec):
        spec = replace(spec, seed=0, run=ExecutionSpec())
    return json.dumps(portable(spec), sort_keys=True)


def short(spec: RunSpec | SweepSpec) -> Json:
    """A spec for a record: what differs from the defaults, without seed and folders."""
    if isinstance(spec, RunSpec):
        spec = replace(spec, seed=0, run=ExecutionSpec())
    return portable(spec, defaults=False)


def _stored(stores: Sequence[Path], notes: list[str]) -> Stored:
    found: dict[str, list[Path]] = {}
    for store in stores:
        if not (store / "runs").is_dir():
            problem = "it has no runs."
            raise DataError(str(store), problem, "Name the folder that holds runs/.")
        for file in sorted((store / "runs").glob("*/resolved.json")):
            try:
                raw = json.loads(file.read_text(encoding="utf-8"))["spec"]
                found.setdefault(identity_of(convert(RunSpec, raw)), []).append(file.parent)
            except (OSError, ValueError, KeyError) as error:
                first = str(error).partition("\n")[0]
                notes.append(f"{file.parent.name[:12]}: not read by this version ({first})")
    return found


def _runs_record(name: str, of: Experiment, spec: RunSpec, stored: Stored) -> Record | None:
    """The finished runs of one spec, with the seeds and at the points that are asked for."""
    entries = [
        entry
        for at in of.points()
        for entry in _entries(stored, override(spec, at) if at else spec, of.seeds, at)
    ]
    if not entries:
        return None
    return Record(name=name, command=of.said(), spec=short(spec), runs=tuple(entries))


def _entries(
    stored: Stored, spec: RunSpec, seeds: Sequence[int], at: Mapping[str, Any]
) -> Iterator[Json]:
    """By seed; of several runs of one seed (of other versions or data) the newest."""
    found: dict[int, Json] = {}
    for folder in sorted(stored.get(identity_of(spec), ()), key=_ended):
        entry = run_entry(folder, at)
        if entry is not None and entry["seed"] in seeds:
            found[entry["seed"]] = entry
    yield from (found[seed] for seed in sorted(found))


def _ended(folder: Path) -> float:
    file = folder / "result.json"
    return json.loads(file.read_text(encoding="utf-8")).get("ended", 0.0) if file.is_file() else 0.0


def _sweep_record(
    name: str, of: Experiment, spec: SweepSpec, stores: Sequence[Path], notes: list[str]
) -> Record | None:
    """The first sweep of that spec in the stores that has all its runs."""
    for store in stores:
        for file in sorted((store / "sweeps").glob("*/sweep.json")):
            plan = json.loads(file.read_text(encoding="utf-8"))
            if "spec" not in plan or not _is_of(plan["spec"], spec):
                continue
            raw = _sweep_entry(plan, store / "runs")
            if raw is None:
                notes.append(f"{name}: {file.parent} has runs that are not over")
                continue
            return Record(name=name, command=of.said(), spec=short(spec), sweep=raw)
    return None


def _is_of(raw: Json, spec: SweepSpec) -> bool:
    try:
        return identity_of(convert(SweepSpec, raw)) == identity_of(spec)
    except SpecError:  # of a version whose fields were other ones
        return False


def _sweep_entry(plan: Json, runs: Path) -> Json | None:
    """sweep.json with the results of its runs; None if one is missing."""
    variants: Json = {}
    for name, one in plan["variants"].items():
        entries = [
            run_entry(runs / run["fingerprint"]) if run["fingerprint"] else None
            for run in one["runs"]
        ]
        known = [entry for entry in entries if entry is not None]
        if len(known) < len(entries):
            return None
        for entry, run in zip(known, one["runs"], strict=True):
            entry |= {"place": run["at"]} if run.get("at") else {}
        variants[name] = {"overrides": one.get("overrides") or {}, "runs": known}
        if name in (plan.get("tuned") or {}):
            variants[name]["tuned"] = _without_runs(plan["tuned"][name])
    shown = plan["report"]
    kept = {"baseline": plan["baseline"], "metrics": shown["metrics"], "test": shown["test"]}
    kept |= {"correct": shown["correct"], "select": plan.get("select") or ""}
    kept |= {"x": shown["x"]} if shown.get("x", "auto") != "auto" else {}
    kept |= {"matched": plan.get("matched") or {}, "audits": plan.get("audits") or []}
    return {**kept, "variants": variants}


def _without_runs(tuned: Json) -> Json:
    points = [{key: point[key] for key in ("values", "score")} for point in tuned["points"]]
    return {**tuned, "points": points}
