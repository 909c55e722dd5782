"""Records: what is kept of finished runs in the repository, where the run store is not.

A record belongs to one experiment of the page and is one JSON file. It holds what was asked (the
command, and the spec with what differs from the defaults), and of every run its seed, result,
machine in words, versions and date. Three forms: "runs" of one spec; a "sweep" with its variants;
"rows", the JSON output of a command. Numbers from before there were records are entered by hand,
and say so.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playground.errors import DataError
from playground.report.sweep import Run, Sweep, Tuned, Variant

Json = dict[str, Any]

KEPT = ("seed", "status", "reason", "fingerprint", "metrics", "floors", "params", "state_bytes")
KEPT += ("flops_per_token", "tokens", "steps", "wall_s", "replicas")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one experiment.

    Attributes:
        command: as a person gives it, without a seed.
        spec: of its runs or sweep, with what differs from the defaults; empty for rows.
        runs: each as `run_entry` makes it, with `at`: its fold or part.
        sweep: as sweep.json, with an entry for each run in place of its fingerprint.
        rows: what a command said, by the keys that the page shows.
        about: date, machine and versions of rows.
        by_hand: where the numbers were copied from; empty where they were collected.
    """

    name: str
    command: str
    spec: Json = field(default_factory=dict[str, Any])
    runs: tuple[Json, ...] = ()
    sweep: Json = field(default_factory=dict[str, Any])
    rows: tuple[Json, ...] = ()
    about: Json = field(default_factory=dict[str, Any])
    by_hand: str = ""

    def every_run(self) -> Iterator[Json]:
        """Its runs, of a sweep those of all variants."""
        yield from self.runs
        for variant in self.sweep.get("variants", {}).values():
            yield from variant["runs"]

    def to_json(self) -> str:
        """The text of its file."""
        kept = {"name": self.name, "command": self.command, "by_hand": self.by_hand}
        kept |= {"spec": self.spec, "runs": list(self.runs), "sweep": self.sweep}
        kept |= {"rows": list(self.rows), "about": self.about}
        return json.dumps({k: v for k, v in kept.items() if v}, indent=1) + "\n"


def read_records(folder: Path) -> dict[str, Record]:
    """All records of a folder by name.

    Raises:
        DataError: a file that is no record.
    """
    return {file.stem: read_record(file) for file in sorted(folder.glob("*.json"))}


def read_record(file: Path) -> Record:
    """The record in a file.

    Raises:
        DataError: it is none.
    """
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        runs, rows = tuple(raw.pop("runs", ())), tuple(raw.pop("rows", ()))
        found = Record(**raw, runs=runs, rows=rows)
    except (OSError, ValueError, TypeError) as error:
        problem = f"it is no record ({type(error).__name__}: {error})."
        fix = "Collect it again with `playground results STORE`."
        raise DataError(str(file), problem, fix) from None
    if found.name != file.stem:
        problem = f"it is the record of {found.name!r}."
        raise DataError(str(file), problem, f"Call the file {found.name}.json.")
    return found


def run_entry(folder: Path, at: Mapping[str, Any] | None = None) -> Json | None:
    """What a record keeps of a run's folder; None while the run is not over.

    Args:
        folder: of the run in its store.
        at: its fold or part, by dotted key.

    Raises:
        DataError: its files cannot be read.
    """
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        about = json.loads((folder / "env.json").read_text(encoding="utf-8"))
        kept = {name: result[name] for name in KEPT if result.get(name) not in (None, {})}
        kept |= {"date": _date(result["ended"]), **machine_words(about)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"its result cannot be read ({type(error).__name__}: {error})."
        raise DataError(str(folder), problem, "Train the run again.") from None
    return {"at": dict(at), **kept} if at else kept


def row_of(row: Json, keys: Sequence[str]) -> Json:
    """What a record keeps of one row of output: the values at dotted keys; none for all plain ones.

    Raises:
        DataError: the row has nothing at a key.
    """
    if not keys:
        return {key: value for key, value in row.items() if not isinstance(value, dict | list)}
    return {key: _at(row, key) for key in keys}


def _at(row: Json, key: str) -> Any:
    """The value at a dotted key, None below None; of keys with dots the longest goes first."""
    value, left = row, key.split(".")
    while left and value is not None:
        heads = (count for count in range(len(left), 0, -1) if ".".join(left[:count]) in value)
        count = next(heads, 0) if isinstance(value, dict) else 0
        if not count:
            raise DataError(key, f"a row has no such key ({', '.join(row)}).", "Change columns.")
        value, left = value[".".join(left[:count])], left[count:]
    return value


def machine_words(about: Mapping[str, Any]) -> dict[str, str]:
    """The machine and the versions of an env.json in words; nothing that names a machine."""
    threads, device = about.get("threads"), str(about.get("device"))
    machine = str(about.get("gpu") or device.upper())
    if device == "cpu" and threads:
        kind = f" of {about['processor']}" if about.get("processor") else ""
        machine = f"CPU, {threads} thread{'s' if threads != 1 else ''}{kind}"
    packages = about.get("packages") or {}
    versions = f"Python {about.get('python')}, torch {packages.get('torch')}"
    return {"machine": machine, "versions": versions}


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def joined(old: Record | None, new: Record) -> Record:
    """A record with new runs of the same spec added; of two of one seed the later day's, or new."""
    if old is None or old.by_hand or old.spec != new.spec or not new.runs:
        return new
    runs = sorted((*old.runs, *new.runs), key=lambda run: run.get("date", ""))
    found = {_place(run): run for run in runs}
    return replace(new, runs=tuple(found[place] for place in sorted(found)))


def _place(run: Json) -> str:
    return json.dumps([sorted(run.get("at", {}).items()), run["seed"]])


def run_of(entry: Json, variant: str = "") -> Run:
    """A record's entry as the report's own kind of run."""
    return Run(
        variant=variant,
        seed=entry["seed"],
        fingerprint=entry.get("fingerprint", ""),
        status="ok" if entry.get("status", "ok") == "ok" else "failed",
        reason=entry.get("reason", ""),
        metrics=entry.get("metrics", {}),
        floors=entry.get("floors", {}),
        params=entry.get("params"),
        state_bytes=entry.get("state_bytes"),
        flops_per_token=entry.get("flops_per_token"),
        tokens=entry.get("tokens"),
        wall_s=entry.get("wall_s"),
        at=entry.get("place", ""),
    )


def sweep_of(record: Record) -> Sweep:
    """A recorded sweep as a report reads it."""
    raw = record.sweep
    variants = [
        Variant(
            name=name,
            overrides=one.get("overrides", {}),
            runs=tuple(run_of(run, name) for run in one["runs"]),
        )
        for name, one in raw["variants"].items()
    ]
    return Sweep(
        name=record.name,
        baseline=raw["baseline"],
        variants=tuple(variants),
        task={},
        metrics=tuple(raw["metrics"]),
        formats=(),
        test=raw["test"],
        correct=raw["correct"],
        matched=raw.get("matched", {}),
        tuned={n: _tuned(one["tuned"]) for n, one in raw["variants"].items() if "tuned" in one},
        audits=tuple(raw.get("audits", ())),
        select=raw.get("select", ""),
        x=raw.get("x", "auto"),
    )


def _tuned(raw: Json) -> Tuned:
    return Tuned(
        points=tuple((point["values"], point["score"]) for point in raw["points"]),
        chosen=raw["chosen"],
        edges=tuple(raw["edges"]),
    )


def output_rows(text: str, where: str) -> Sequence[Json]:
    """Rows of what a command printed with --json: an object, a list of them, or JSON lines.

    An object that holds one list of objects stands for that list; one that holds texts and one
    object of objects (`eval --harness`) for those, their names as `name`.

    Raises:
        DataError: it is none of these.
    """
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            problem = f"it is no JSON ({error})."
            raise DataError(where, problem, "Write what `--json` printed into a file.") from None
    if isinstance(found, dict):
        inner = [value for value in found.values() if _are_rows(value)]
        others = [value for value in found.values() if not isinstance(value, str)]
        if len(others) == 1 and isinstance(others[0], dict):
            inner = [_named(others[0])]
        found = inner[0] if len(inner) == 1 and _are_rows(inner[0]) else [found]
    if not _are_rows(found):
        raise DataError(where, "it holds no rows.", "Give an object, or a list of objects.")
    return found


def _named(value: Json) -> Sequence[Json]:
    """Objects by name as rows, all with the same keys; none if it holds anything else."""
    if not all(isinstance(one, dict) for one in value.values()):
        return ()
    every = dict.fromkeys(key for one in value.values() for key in one)  # in the order they come
    return [{"name": name} | every | one | {"name": name} for name, one in value.items()]


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
