"""The verb bench."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import FAILED, verb
from playground.cli.options import Here, Json, Words, overrides
from playground.cli.show import console, duration, print_json
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.report.table import Table
    from playground.spec import BenchSpec

BenchSpecFile = Annotated[
    Path, typer.Argument(help="A YAML file of kind bench; `playground new bench` writes one.")
]
BenchOut = Annotated[Path, typer.Option("--out", help="The folder that holds benches/.")]
Compare = Annotated[
    Path | None,
    typer.Option("--compare", metavar="FILE", help="Rows of an earlier bench: ratios to them."),
]
Tune = Annotated[
    bool, typer.Option("--tune", help="Time the configs of every kernel instead; needs a GPU.")
]


@verb("bench")
def bench(
    spec: BenchSpecFile,
    words: Words = None,
    compare: Compare = None,
    tune: Tune = False,
    out: BenchOut = Here,
    json: Json = False,
) -> int:
    """Time eager, compiled and Triton side by side, checked first.

    What every path computes is held to the recurrence in fp64: a wrong one prints FAIL and no time,
    one that cannot run here prints why. Paths that are compared take turns. Every row has a median
    and its [p20, p80], tokens/s, the speed-up over the baseline, shares of the matmul peak and of
    the copy bandwidth measured in the same run, memory, compile seconds, graph breaks, its error,
    and which form ran in which layer.

    Writes lines of JSON, a Markdown table and a figure into benches/ under --out. The exit code is
    1 if a row failed.
    """
    from playground.cli.loading import wrong_kind
    from playground.report.benched import failed
    from playground.spec import BenchSpec, load

    found = load(spec, *overrides(words))
    if not isinstance(found, BenchSpec):
        raise wrong_kind(spec, found.kind, "bench")
    if tune and compare is not None:
        raise PlaygroundError("--compare: --tune times kernels alone. Leave one of them out.")
    if tune:
        return _tune(found, json)
    earlier = None if compare is None else _earlier(compare, out)
    stem = out / "benches" / spec.stem / time.strftime("%Y-%m-%d-%H%M%S")
    rows = _measure(found, stem.with_suffix(".jsonl"))
    files = [stem.with_suffix(".jsonl"), *_write(rows, stem, earlier)]
    if json:
        print_json({"rows": rows, "files": [str(file) for file in files]})
    else:
        _show(rows, earlier)
        print(*files, sep="\n")
    return FAILED if any(failed(row) for row in rows) else 0


def _earlier(file: Path, out: Path) -> list[Any]:
    """The rows of an earlier bench."""
    from playground.report.benched import load_bench

    if not file.is_file():
        kept = f"Benches that were run here lie in {out / 'benches'}, as NAME/DATE.jsonl."
        raise PlaygroundError(f"--compare: there is no file {file}. {kept}")
    return load_bench(file)


def _measure(spec: "BenchSpec", file: Path) -> list[dict[str, Any]]:
    """Every row, written as it comes; a bench that is stopped keeps those it has."""
    from playground.bench import as_line, run_bench
    from playground.cli.progress import bars
    from playground.report.benched import load_bench
    from playground.train.store import new_store

    new_store(file.parent)
    with bars() as bar, file.open("w", encoding="utf-8") as lines:
        display = BenchDisplay(bar)
        for row, about in run_bench(spec, display):
            lines.write(as_line(row, about))
            lines.flush()
    return [dict(row) for row in load_bench(file)]


class BenchDisplay:
    """A bar over all cells, with what comes next and the time left."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.began = bar, time.monotonic()
        self.started = False

    def __call__(self, progress: Any) -> None:
        """Take in how far it is."""
        if not self.started:
            self.bar.begin("bench", "bench", progress.total)
            self.started = True
        spent, left = time.monotonic() - self.began, progress.total - progress.done
        eta = spent * left / progress.done if progress.done else None
        self.bar.move("bench", progress.done, f"left {duration(eta)}  {progress.text}")


def _write(rows: Sequence[Any], stem: Path, earlier: Sequence[Any] | None) -> list[Path]:
    """The Markdown, and the figure if there is anything to draw."""
    from playground.report.draw import save
    from playground.report.roofline import figure

    tables, lines = _found(rows, earlier)
    parts = [table.to_markdown() for table in tables]
    parts.append("".join(f"- {line}\n" for line in lines))
    files = [stem.with_suffix(".md")]
    drawn = figure(rows)
    if drawn is not None:
        files.append(stem.with_suffix(".svg"))
        drawn.set_facecolor("white")
        save(drawn, files[-1], "svg")
        parts.append(f"![roofline]({files[-1].name})\n")
    files[0].write_text("\n".join(parts), encoding="utf-8")
    return files


def _show(rows: Sequence[Any], earlier: Sequence[Any] | None) -> None:
    shown = console()
    tables, lines = _found(rows, earlier)
    for table in tables:
        shown.print(table.to_rich(shown.width))
    for line in lines:
        print(line)


def _found(rows: Sequence[Any], earlier: Sequence[Any] | None) -> "tuple[list[Table], list[str]]":
    """The tables of a bench, and what is said below them."""
    from playground.report.benched import (
        comparison,
        details,
        differences,
        doubts,
        legend,
        reasons,
        side_by_side,
    )

    tables, lines = (
        [side_by_side(rows), details(rows)],
        [*reasons(rows), *doubts(rows), *legend(rows)],
    )
    if earlier is not None:
        tables.append(comparison(rows, earlier))
        lines += differences(rows, earlier)
    return tables, lines


def _tune(spec: "BenchSpec", json: bool) -> int:
    from playground.bench import tune_families

    found = tune_families(spec.device, repeats=spec.repeats)
    if json:
        print_json([one.as_dict() for one in found])
    else:
        for one in found:
            print(one.entry())
    return 0
