"""The verb search."""

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
)
from playground.cli.show import console, print_json, print_pairs, size

if TYPE_CHECKING:
    from playground.report.searched import Searched
    from playground.spec import RungSpec, RunSpec, SearchSpec

SearchSpecFile = Annotated[Path, typer.Argument(help="A YAML file of kind search.")]


@verb("search")
def search(
    spec: SearchSpecFile,
    words: Words = None,
    dry_run: Dry = False,
    workers: Workers = None,
    retry: Retry = False,
    name: Name = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> int:
    """Search a space of specs, beside a random search."""
    from playground.cli.checking import check_search
    from playground.cli.loading import wrong_kind
    from playground.spec import SearchSpec, load

    found = load(spec, *overrides(words, no_compile))
    if not isinstance(found, SearchSpec):
        raise wrong_kind(spec, found.kind, "search", retry=retry)
    rungs = check_search(found)
    if dry_run:
        return _print_budget(found, rungs, json)
    folder = searches_folder(out) / (name or spec.stem)
    _carry_out(found, folder, out, workers, retry)
    return report_search(folder, out, json)


def _print_budget(spec: "SearchSpec", rungs: "list[list[RunSpec]]", json: bool) -> int:
    from playground.cli.checking import missing_of, say_lacking
    from search.search import budget

    found = budget(spec)
    absent = {"missing_data": missing_of([spec.first(), *(run for runs in rungs for run in runs)])}
    if json:
        print_json({**found, **absent})
        return 0
    print_pairs({name: size(number) for name, number in found.items()})
    say_lacking(absent)
    return 0


def print_check(file: Path, spec: "SearchSpec", json: bool) -> None:
    """What a search costs at most, and of what: for `check`."""
    from playground.cli.checking import check_search, lacking, say_lacking, space_of
    from playground.cli.specs import costs
    from search.search import budget

    rungs, base, most = check_search(spec), spec.first(), budget(spec)
    facts = {"spec": str(file), "kind": spec.kind}
    facts |= {f"base_{name}": value for name, value in costs(base).items()}
    absent, space = lacking([base, *(run for runs in rungs for run in runs)]), space_of(spec)
    trained = [_rung(*one) for one in zip(spec.trained, rungs, strict=True)]
    if json:
        facts |= {"space": space, "rungs": trained, "budget": most}
        print_json({**facts, **absent})
        return
    facts = {name.replace("_", " "): value for name, value in facts.items()}
    facts |= {f"space {key}": values for key, values in space.items()}
    facts |= {f"rung {at}": one for at, one in enumerate(trained, start=1)}
    print_pairs(facts | {name: size(number) for name, number in most.items()})
    say_lacking(absent)


def _rung(rung: "RungSpec", runs: "list[RunSpec]") -> dict[str, Any]:
    """A rung in numbers; tokens are those of a candidate with one seed."""
    return {
        "task": ", ".join(run.task.kind for run in runs),
        "tokens": sum(run.training_tokens for run in runs),
        "seeds": rung.seeds,
        "keep": rung.keep,
    }


def _carry_out(
    spec: "SearchSpec", folder: Path, out: Path, workers: int | None, retry: bool
) -> None:
    from playground.cli.progress import bars
    from playground.cli.sweeping import SweepDisplay, stoppable
    from playground.train import RunStore
    from search.search import Search, budget

    with bars() as bar, stoppable(bar):
        display = SweepDisplay(bar)
        display.todo = int(budget(spec)["runs"])
        bar.begin("sweep", "runs", display.todo)
        Search(
            name=folder.name,
            spec=spec,
            store=RunStore(runs_folder(out)),
            folder=folder,
            workers=workers,
            retry=retry,
            watch=display,
            say=bar.say,
        ).run()


def report_search(folder: Path, out: Path, json: bool) -> int:
    """Print a search's front and write its report; 1 if there is none."""
    from playground.report.searched import load_search
    from playground.report.text import plain

    found = load_search(folder, runs_folder(out))
    files = _write(found, folder)
    if json:
        print_json(
            {
                "name": found.name,
                "front": [one.name for one in found.front()],
                "summary": found.summary(),
                "finalists": [
                    {k: v for cell in row for k, v in cell.values.items()}
                    for row in found.table().rows
                ],
                "files": [str(file) for file in files],
            }
        )
    else:
        shown = console()
        shown.print(found.table().to_rich(shown.width))
        are = [f"front, {one.name}: {plain(one.values)}" for one in found.front()]
        for line in (*are, *found.summary(), *files):
            print(line)
    return 0 if found.front() else FAILED


def _write(found: "Searched", folder: Path) -> list[Path]:
    from playground.report.draw import PAPER, save
    from playground.report.searched import figure

    texts = {"report.md": found.markdown(), "report.csv": found.table().to_csv()}
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    files = [folder / name for name in texts]
    if found.finalists():
        drawn = figure(found, PAPER)
        drawn.set_facecolor("white")
        save(drawn, folder / "front.svg", "svg")
        files.append(folder / "front.svg")
    return files
