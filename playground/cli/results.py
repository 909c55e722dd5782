"""The verb results: the committed page of what was measured."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from playground.cli.app import verb
from playground.cli.options import Here, Json
from playground.cli.show import print_json
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.report.again import Again
    from playground.report.page import Page
    from playground.report.records import Record

Stores = Annotated[
    list[Path] | None, typer.Argument(help="Folders that hold runs/ and sweeps/; none: page only.")
]
Root = Annotated[Path, typer.Option("--root", help="The repository: specs/ and docs/ are there.")]
Compare = Annotated[
    bool, typer.Option("--compare", help="Say how runs differ from the records; write nothing.")
]
Add = Annotated[
    list[str] | None,
    typer.Option(
        "--add",
        metavar="NAME=FILE",
        help="A command's --json output, made here with as many threads as now.",
    ),
]

PAGE, RECORDS, DESCRIPTION = "docs/results.md", "docs/results/runs", "docs/results/page.yaml"
FIGURES = "docs/results"  # the page shows them


@verb("results")
def results(
    stores: Stores = None,
    add: Add = None,
    compare: Compare = False,
    root: Root = Here,
    json: Json = False,
) -> None:
    """Collect finished runs and write docs/results.md.

    The page names its experiments in docs/results/page.yaml. Runs and sweeps of theirs that lie in
    the stores become records, in docs/results/runs; page and figures are made from records alone.
    """
    from playground.report.collect import collect
    from playground.report.page import load_page
    from playground.report.records import read_records

    page, folder = load_page(root / DESCRIPTION), root / RECORDS
    old = read_records(folder)
    found = collect(page, root, [store.absolute() for store in stores or []], old)
    said = {name: str(one) for name, one in found.again.items()}
    if compare:
        if add:
            raise PlaygroundError("--compare is of runs, --add of a command's output. Drop one.")
        _print_compared(found.again, found.notes, json)
        return
    new = found.records | _added(page, add or [])
    folder.mkdir(parents=True, exist_ok=True)
    changed = [name for name, record in new.items() if record != old.get(name)]
    for name in changed:
        (folder / f"{name}.json").write_text(new[name].to_json(), encoding="utf-8")
    (root / PAGE).write_text(page_of(root), encoding="utf-8")
    draw_figures(root, root / FIGURES)
    notes = [*found.notes, *(f"{name}: no experiment of the page" for name in _strays(page, old))]
    if json:
        print_json({"changed": changed, "notes": notes, "page": str(root / PAGE)})
        return
    lines = [f"{name}: {_count(new[name])} recorded; {said.get(name, '')}" for name in changed]
    for line in (*(line.rstrip("; ") for line in lines), *notes):
        print(line)
    print(root / PAGE)


def _print_compared(found: "Mapping[str, Again]", notes: list[str], json: bool) -> None:
    if json:
        print_json({"runs": {name: asdict(one) for name, one in found.items()}, "notes": notes})
        return
    if not found:
        print("no run or whole sweep of the page lies in these folders")
    for line in (*(f"{name}: {one}" for name, one in found.items()), *notes):
        print(line)


def page_of(root: Path) -> str:
    """The text of the page, from what is committed."""
    from playground.report.page import load_page
    from playground.report.records import read_records
    from playground.report.results import render

    return render(load_page(root / DESCRIPTION), read_records(root / RECORDS))


def draw_figures(root: Path, folder: Path) -> list[Path]:
    """Draw the figures of the page from what is committed: NAME.svg in a folder."""
    from playground.report.draw import save
    from playground.report.figures import figures_of
    from playground.report.page import load_page
    from playground.report.records import read_records

    drawn = figures_of(load_page(root / DESCRIPTION), read_records(root / RECORDS))
    files = [folder / f"{name}.svg" for name in drawn]
    for file, figure in zip(files, drawn.values(), strict=True):
        save(figure, file, "svg", salt=file.stem)
    return files


def _added(page: "Page", words: Sequence[str]) -> "dict[str, Record]":
    from playground.report.records import Record, output_rows, row_of

    found = {}
    commands = {name: one for name, one in page.experiments().items() if one.command}
    for word in words:
        name, _, file = word.partition("=")
        if name not in commands:
            known = ", ".join(commands) or "none"
            raise PlaygroundError(f"--add {word}: {name!r} is no command of the page ({known}).")
        path = Path(file)
        if not path.is_file():
            raise PlaygroundError(f"--add {word}: there is no file {file!r}.")
        raw = output_rows(path.read_text(encoding="utf-8"), file)
        rows = tuple(row_of(row, tuple(commands[name].columns)) for row in raw)
        about = _here(path)
        found[name] = Record(name=name, command=commands[name].said(), rows=rows, about=about)
    return found


def _here(file: Path) -> dict[str, str]:
    """This machine and its versions in words, and the date of a file."""
    from playground.report.records import machine_words
    from playground.train.machine import environment, pick_device

    date = time.strftime("%Y-%m-%d", time.gmtime(file.stat().st_mtime))
    return {"date": date, **machine_words(environment(pick_device("auto")))}


def _strays(page: "Page", records: "dict[str, Record]") -> list[str]:
    return [name for name in records if name not in page.experiments()]


def _count(record: "Record") -> str:
    from playground.report.text import counted

    if record.rows:
        return counted(len(record.rows), "row")
    return counted(len(list(record.every_run())), "run")
