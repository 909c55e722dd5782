"""Verbs about sweeps: sweep, status, report."""

import atexit
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import FAILED, verb
from playground.cli.options import (
    Dry,
    Here,
    Json,
    Name,
    NoCompile,
    Out,
    Retry,
    Words,
    Workers,
    overrides,
    runs_folder,
    searches_folder,
    sweeps_folder,
)
from playground.cli.show import console, print_json, print_table, size, table_of, text
from playground.errors import PlaygroundError, SpecError

if TYPE_CHECKING:
    from playground.report import Report
    from playground.report.sweep import Sweep
    from search.plan import SweepPlan

SweepSpecFile = Annotated[Path, typer.Argument(help="A YAML file of kind sweep.")]
SweepName = Annotated[Path, typer.Argument(help="A sweep or search: name, folder, YAML.")]
Most = Annotated[int | None, typer.Option("--most", min=1, help="Runs to list; 40 if not said.")]
Follow = Annotated[bool, typer.Option("--watch", help="Keep the list up to date until Ctrl-C.")]
Every = Annotated[bool, typer.Option("--all", help="List every run.")]
RunName = Annotated[str, typer.Argument(help="A run's folder, or how its fingerprint begins.")]
Formats = Annotated[
    list[str] | None, typer.Option("--format", help="md, html, csv, tex, svg, png, pdf; repeat it.")
]


@contextmanager
def many_objects() -> Iterator[None]:
    """Among very many objects that all stay (modules too), looking for garbage takes long.

    A process would do so once more as it ends: then it leaves them all to the system.
    """
    atexit.register(gc.freeze)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@verb("sweep")
def sweep(
    spec: SweepSpecFile,
    words: Words = None,
    dry_run: Dry = False,
    workers: Workers = None,
    retry: Retry = False,
    name: Name = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> int:
    """Carry out what is left of a sweep, and report it."""
    with many_objects():
        from playground.cli.checking import check_metrics, check_variants
        from playground.cli.loading import wrong_kind
        from playground.cli.sweeping import carry_out, estimate
        from playground.spec import SweepSpec, load
        from playground.train import RunStore
        from search.sweep import plan_sweep

        found = load(spec, *overrides(words, no_compile))
        if not isinstance(found, SweepSpec):
            raise wrong_kind(spec, found.kind, "sweep", retry=retry)
        check_metrics(found)
        plan = plan_sweep(found, name or spec.stem, RunStore(runs_folder(out)))
        check_variants(plan.runs)
        if dry_run:
            _print_plan(plan, estimate(plan, runs_folder(out), workers), json)
            return 0
    carry_out(plan, out, workers=workers, retry=retry)
    return _report(sweeps_folder(out) / plan.name, runs_folder(out), None, json)


@verb("retry")
def retry(
    spec: SweepSpecFile,
    words: Words = None,
    workers: Workers = None,
    name: Name = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> None:
    """Carry out what is left of a sweep and, once more, what failed."""
    sweep(spec, words, False, workers, True, name, no_compile, out, json)


def _print_plan(plan: "SweepPlan", totals: dict[str, Any], json: bool) -> None:
    from playground.cli.specs import print_changes, print_variants, sweep_rows
    from playground.report.text import counted

    rows, dropped = sweep_rows(plan.runs), {run.variant: run.dropped for run in plan.runs}
    for row in rows:
        row["changes"] = dict(plan.overrides[row["variant"]])
        row["dropped"] = list(dropped[row["variant"]])
    if json:
        print_json({"name": plan.name, **totals, "variants": rows, "task": plan.task})
        return
    print_variants(rows)
    print_changes(rows)
    if unmatched := [f"{name} ({m.ratio:.3f})" for name, m in plan.matched.items() if not m.ok]:
        print(f"not as large as the baseline, whatever the field is: {', '.join(unmatched)}")
    tuning = f" and {totals['tuning']} to tune by" if totals["tuning"] else ""
    team = f"as {counted(totals['programs'], 'program')} in {counted(totals['workers'], 'process')}"
    print(
        f"{counted(totals['runs'], 'run')}{tuning}, {totals['done']} done already; "
        f"{size(totals['tokens'])} tokens to train on, "
        f"{team} of {counted(totals['threads'], 'thread')}"
    )
    if totals["seconds"] is not None:
        from playground.cli.show import duration

        print(f"about {duration(totals['seconds'])} at the speed of the runs that are done")
    elif totals["done"] < totals["runs"]:
        print(
            "no estimate of the time: none of these runs is done; begun, a sweep says what is left"
        )


@verb("report")
def report(sweep: SweepName, formats: Formats = None, out: Out = Here, json: Json = False) -> int:
    """Print the table of a sweep or a search and write its report."""
    if (search := _search(sweep, out)) is not None:
        from playground.cli.searching import report_search

        if formats:
            raise PlaygroundError("--format: a search is reported as md, csv and svg. Drop it.")
        return report_search(search, search.parent.parent, json)
    return _report(*_folders(sweep, out), formats, json)


def _search(named: Path, out: Path) -> Path | None:
    """The folder of a search that is meant; None if a sweep is."""
    stem = named.stem if named.suffix in (".yaml", ".yml") else named.name
    try:
        if not (_folders(named, out)[0] / "sweep.json").is_file():
            places = (named.resolve(), searches_folder(out) / stem)
            return next((at for at in places if (at / "search.json").is_file()), None)
    except OSError:  # such as a name that is too long
        pass
    return None


def _folders(sweep: Path, out: Path) -> tuple[Path, Path]:
    """A sweep's folder and that of its runs: a folder that is named has them beside sweeps/."""
    try:
        named = (sweep / "sweep.json").is_file()
    except OSError:  # such as a name that is too long
        named = False
    if not named:
        name = sweep.stem if sweep.suffix in (".yaml", ".yml") else sweep
        return sweeps_folder(out) / name, runs_folder(out)
    own = runs_folder(sweep.resolve().parent.parent)
    return sweep, own if own.is_dir() else runs_folder(out)  # a copied folder has none


def _report(folder: Path, runs: Path, formats: list[str] | None, json: bool) -> int:
    """Print the table, write the files if there is any run; 1 when a run does not count."""
    from playground.report import build, write

    with many_objects():
        found = build(folder, runs)
        there = _any_run(found.sweep)
        files = write(found, folder, formats or ()) if there else []
    if json:
        print_json(_as_json(found, files))
    else:
        _print_report(found, files)
        if not there:
            print(f"No run of it is over in {runs}: no file is written.")
    return FAILED if found.problems() else 0


def _any_run(sweep: "Sweep") -> bool:
    """Whether the store has any: without, a report would only replace a better one."""
    runs = chain(sweep.runs(), *(tuned.runs for tuned in sweep.tuned.values()))
    return any(run.status != "missing" for run in runs)


def _as_json(found: "Report", files: list[Path]) -> dict[str, Any]:
    return {
        "name": found.sweep.name,
        "baseline": found.sweep.baseline,
        "variants": [cells_of(row) for row in found.table.rows],
        "runs": found.runs(),
        "problems": found.problems(),
        "files": [str(path) for path in files],
    }


def cells_of(row: Any) -> dict[str, Any]:
    """The numbers behind the cells of a report's row."""
    return {key: value for cell in row for key, value in cell.values.items()}


def _print_report(found: "Report", files: list[Path]) -> None:
    shown = console()
    shown.print(found.rich(shown.width))
    for table in found.places:
        shown.print(table.to_rich(shown.width))
    for line in (*found.summary(), *found.problems(), *files):
        print(line)
    if any(run.status == "failed" for run in found.sweep.runs()):
        print("The words of the sweep after `playground retry` carry out again what failed.")


@verb("diff")
def diff(first: RunName, second: RunName, out: Out = Here, json: Json = False) -> None:
    """Explain what two runs differ in: spec, machine and result."""
    from dataclasses import asdict

    from playground.report.diff import differences
    from playground.train import RunStore

    store = RunStore(runs_folder(out))
    folders = [
        Path(name) if Path(name).is_dir() else store.find(name).path for name in (first, second)
    ]
    found = differences(*folders)
    if json:
        print_json([asdict(one) for one in found])
        return
    names = tuple(folder.name[:12] for folder in folders)
    rows = [(one.part, one.key, text(one.first), text(one.second)) for one in found]
    print_table(("part", "key", *names), rows, numbers=False)
    print(f"{len(rows)} differences" if rows else "The two runs do not differ.")


@verb("send")
def send(
    runs: Annotated[list[str], typer.Argument(help="Sweeps by name, or how fingerprints begin.")],
    to: Annotated[str, typer.Option("--to", help="tensorboard, wandb or trackio.")],
    project: Annotated[str, typer.Option("--project", help="In the tracker.")] = "playground",
    out: Out = Here,
) -> None:
    """Hand kept runs to a tracker."""
    from playground.report.trackers import TRACKERS
    from playground.report.trackers import send as hand_over

    if to not in TRACKERS:
        raise SpecError("--to", f"{to!r} is no tracker.", tuple(TRACKERS), to)
    for folder in _run_folders(runs, out):
        events = folder.parent.parent / "tensorboard"
        rows = hand_over(folder, to, project=project, folder=events)
        print(f"{folder.name[:12]}: {rows} rows to {to}")


def _run_folders(names: list[str], out: Path) -> list[Path]:
    """The runs of sweeps, and runs by how their fingerprints begin."""
    from playground.report.load import load_sweep

    found: list[Path] = []
    for name in names:
        sweep, store = _folders(Path(name), out)
        if (sweep / "sweep.json").is_file():
            runs = load_sweep(sweep, store).runs()
            found += [Path(run.folder) for run in runs if run.status != "missing"]
        else:
            found.append(_run_folder(name, out))
    return list(dict.fromkeys(found))


def _run_folder(name: str, out: Path) -> Path:
    """A run by its folder, or by how its fingerprint begins."""
    from playground.train import RunStore

    store = RunStore(runs_folder(out))
    if (Path(name) / "resolved.json").is_file():
        return Path(name)
    if any(run.fingerprint.startswith(name) for run in store.runs()):
        return store.find(name).path
    sweeps = [plan.parent.name for plan in sweeps_folder(out).glob("*/sweep.json")]
    problem = f"it is no sweep in {sweeps_folder(out)} and no run in {runs_folder(out)}."
    fix = "Name one; `playground status` lists the runs."
    raise SpecError(name, problem, sweeps, found=name, fix=fix)


@verb("status")
def status(
    most: Most = None,
    every: Every = False,
    watch: Follow = False,
    out: Out = Here,
    json: Json = False,
) -> None:
    """List the runs that are kept, open and failed ones first."""
    from playground.report.status import run_rows

    if every and most is not None:
        raise PlaygroundError("--most: --all lists every run. Leave one of them out.")
    listed = None if every else most or MOST_LISTED
    if watch:
        if json:
            raise PlaygroundError("--watch: draws again and again. Leave it or --json out.")
        return _watch(listed, out)
    with many_objects():
        rows, counts = run_rows(runs_folder(out), listed, _plans(out))
    if json:
        return print_json({"runs": rows, "counts": counts})
    print_table(_STATUS, _status_cells(rows), numbers=False)
    print(_counted(counts, out))
    if len(rows) < sum(counts.values()):
        print(f"{sum(counts.values()) - len(rows)} are not shown: give --all.")
    return None


def _watch(most: int | None, out: Path) -> None:
    """The list again and again, until Ctrl-C."""
    from rich.live import Live

    from playground.report.status import run_rows

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            rows, counts = run_rows(runs_folder(out), most, _plans(out))
            title = _counted(counts, out)
            live.update(
                table_of(_STATUS, _status_cells(rows), title=title, numbers=False), refresh=True
            )
            time.sleep(WATCH_S)


def _plans(out: Path) -> list[Path]:
    """The files of all sweeps and searches that name their runs."""
    sweeps, searches = sweeps_folder(out), searches_folder(out)
    return sorted([*sweeps.glob("*/sweep.json"), *searches.glob("*/search.json")])


def _status_cells(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(text(row[key]) for key in _STATUS) for row in rows]


def _counted(counts: dict[str, int], out: Path) -> str:
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{said or 'no runs'} in {runs_folder(out)}"


WATCH_S, MOST_LISTED = 2.0, 40
_STATUS = ("run", "of", "status", "model", "task", "seed", "step", "loss")
