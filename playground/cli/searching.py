"""The verb search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import FAILED, verb
from playground.cli.options import Here, Json, NoCompile, Out, Words, overrides, runs_folder
from playground.cli.show import console, print_json, print_pairs, size
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.report.searched import Searched
    from playground.spec import SearchSpec

SearchSpecFile = Annotated[Path, typer.Argument(help="A YAML file of kind search.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Count what there is to do; train nothing.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes side by side.")]
Name = Annotated[str | None, typer.Option("--name", help="Of the search's folder.")]


@verb("search")
def search(
    spec: SearchSpecFile,
    words: Words = None,
    dry_run: Dry = False,
    workers: Workers = None,
    name: Name = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> int:
    """Search a space of specs, beside a random search."""
    from playground.spec import SearchSpec, load

    found = load(spec, *overrides(words, no_compile))
    if not isinstance(found, SearchSpec):
        raise PlaygroundError(f"{spec}: is of kind {found.kind}. Name a search.")
    if dry_run:
        (print_json if json else print_pairs)(budget(found))
        return 0
    folder = out / "searches" / (name or spec.stem)
    _carry_out(found, folder, out, workers)
    return _report(folder, out, json)


def budget(spec: "SearchSpec") -> dict[str, Any]:
    """What a search trains at most."""
    from search.space import Space
    from search.suites import overrides_of

    arms = 1 if spec.sampler.control in ("none", spec.sampler.kind) else 2
    count, runs, tokens = spec.sampler.trials, 0, 0
    for at, rung in enumerate(spec.trained):
        run = spec.first()
        for values in overrides_of(spec.trained, at):
            from playground.spec import override

            run = override(run, values)
        train = run.train
        each = train.steps * train.batch * train.accumulate * getattr(run.task, "length", 0)
        runs += count * rung.seeds
        tokens += count * rung.seeds * each
        count = max(1, round(rung.keep * count))
    candidates = Space(spec.space).size()
    return {
        "space": "infinite" if candidates == float("inf") else int(candidates),
        "arms": arms,
        "candidates of each arm": spec.sampler.trials,
        "runs": arms * runs,
        "tokens": size(arms * tokens),
    }


def _carry_out(spec: "SearchSpec", folder: Path, out: Path, workers: int | None) -> None:
    from playground.cli.progress import bars
    from playground.cli.sweeping import SweepDisplay
    from playground.train import RunStore
    from search.search import Search

    with bars() as bar:
        display = SweepDisplay(bar)
        display.todo = budget(spec)["runs"]
        bar.begin("sweep", "runs", display.todo)
        todo = Search(
            name=folder.name,
            spec=spec,
            store=RunStore(runs_folder(out)),
            folder=folder,
            workers=workers,
            watch=display,
            say=bar.say,
        )
        try:
            todo.run()
        except KeyboardInterrupt:
            bar.say("stopped; the same command goes on from the checkpoints")
            raise


def _report(folder: Path, out: Path, json: bool) -> int:
    from playground.report.searched import load_search

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
        for line in (*found.summary(), *files):
            print(line)
    return 0 if found.front() else FAILED


def _write(found: "Searched", folder: Path) -> list[Path]:
    from playground.report.draw import PAPER, save
    from playground.report.searched import scatter

    texts = {"report.md": found.markdown(), "report.csv": found.table().to_csv()}
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    figure = scatter(found, PAPER)
    figure.set_facecolor("white")
    save(figure, folder / "front.svg", "svg")
    return [folder / name for name in (*texts, "front.svg")]
