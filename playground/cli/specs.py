"""Verbs about specs: new, check, explain, schema."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import verb
from playground.cli.options import Here, Json, NoCompile, Out, Spec, Words, overrides
from playground.cli.show import print_json, print_pairs, print_table, size, text
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from playground.spec import BenchSpec, ModelSpec, RunSpec, SweepRun, SweepSpec
    from search.plan import Job

NewName = Annotated[
    str, typer.Argument(help="titans-lmm, titans-mac, hybrid, run, sweep, search, bench, rule, ...")
]
NewFile = Annotated[Path | None, typer.Option("--to", help="The file to write.")]
TraceText = Annotated[
    str | None,
    typer.Option("--trace", metavar="TEXT", help="Draw what each token writes and reads."),
]
TraceFile = Annotated[
    Path | None,
    typer.Option("--figure", help="Where --trace draws: png, svg or pdf; trace.png if not said."),
]

MOST_SHOWN = 60  # variants in a terminal; --json has all


@verb("new")
def new(name: NewName, to: NewFile = None) -> None:
    """Write a commented starting spec."""
    from playground.spec.new import starting_spec

    file, content = starting_spec(name)
    path = to if to is not None else Path(file)
    if path.exists():
        raise PlaygroundError(f"{path}: it exists already. Name another file with --to.")
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise PlaygroundError(f"{path}: cannot be written ({error.strerror}).") from None
    print(path)


@verb("check")
def check(spec: Spec, words: Words = None, json: Json = False) -> None:
    """Validate a spec and say what it costs; nothing is computed."""
    from playground.cli.checking import lacking, say_lacking
    from playground.cli.loading import load_asked
    from playground.cli.searching import print_check
    from playground.spec import BenchSpec, RunSpec, SearchSpec, SweepSpec
    from playground.train.under import check_evaluations

    found = load_asked(spec, overrides(words))
    if isinstance(found, SweepSpec):
        _check_sweep(found, json)
        return
    if isinstance(found, BenchSpec):
        _check_bench(found, json)
        return
    if isinstance(found, SearchSpec):
        print_check(spec, found, json)
        return
    runs = [found] if isinstance(found, RunSpec) else []
    facts = {"spec": str(spec), "kind": found.kind, **costs(found)}
    for run in runs:
        check_evaluations(run)
        facts |= {"task": run.task.kind, "training_tokens": run.training_tokens}
    absent = lacking(runs)
    if json:
        print_json({**facts, **absent})
        return
    print_pairs({name.replace("_", " "): value for name, value in facts.items()})
    say_lacking(absent)


def costs(spec: "ModelSpec | RunSpec") -> dict[str, int]:
    """Parameters, state bytes and FLOPs of a model, from fake tensors; a run has a length."""
    from playground.spec import RunSpec
    from playground.train.costs import costs_of_run, costs_of_spec

    found = costs_of_run(spec) if isinstance(spec, RunSpec) else costs_of_spec(spec)
    return {
        "params": found.params,
        "state_bytes_per_sequence": found.state_bytes,
        "flops_per_token": found.flops_per_token,
    }


def _check_sweep(sweep: "SweepSpec", json: bool) -> None:
    from playground.cli.checking import (
        check_metrics,
        check_tuned,
        check_variants,
        lacking,
        say_lacking,
    )
    from playground.report.text import counted
    from search.plan import runs_of

    check_metrics(sweep)
    planned = runs_of(sweep)[0]
    check_variants(planned)
    tuning = check_tuned(sweep, planned)
    rows = sweep_rows(planned)
    runs = sum(int(row["runs"]) for row in rows)
    absent = lacking({(run.variant, run.at): run.spec for run in planned}.values())
    if json:
        facts = {"kind": sweep.kind, "runs": runs, "tuning": tuning, "variants": rows}
        print_json({**facts, **absent})
        return
    print_variants(rows)
    first = f" and {tuning} to tune by" if tuning else ""
    print(f"{counted(len(rows), 'variant')}, {counted(runs, 'run')}{first}")
    say_lacking(absent)


def _check_bench(bench: "BenchSpec", json: bool) -> None:
    models = [{"model": name, **costs(spec)} for name, spec in bench.models.items()]
    rules = [rule.name for rule in bench.rules]
    if json:
        print_json({"kind": bench.kind, "models": models, "rules": rules, "paths": bench.paths})
        return
    if models:
        rows = [[text(value) for value in row.values()] for row in models]
        print_table([name.replace("_", " ") for name in models[0]], rows)
    print(f"rules: {', '.join(rules) or 'none'}; paths: {', '.join(bench.paths)}")


def sweep_rows(runs: "Iterable[SweepRun | Job]") -> list[dict[str, Any]]:
    """One row per variant: its costs, means over places, and its size beside the baseline's."""
    seen: dict[str, dict[str, dict[str, int]]] = {}
    known: dict[tuple[ModelSpec, int, str], dict[str, int]] = {}
    count = Counter[str]()
    for run in runs:
        at_places = seen.setdefault(run.variant, {})
        if run.at not in at_places:
            sized = run.spec.model, run.spec.example_length, run.spec.lowering
            known[sized] = known.get(sized) or costs(run.spec)
            at_places[run.at] = known[sized]
        count[run.variant] += 1
    rows: list[dict[str, Any]] = []
    for variant, at_places in seen.items():
        every = list(at_places.values())
        means = {name: round(sum(one[name] for one in every) / len(every)) for name in every[0]}
        rows.append({"variant": variant, **means, "runs": count[variant]})
    for row in rows:
        row["params_ratio"] = row["params"] / rows[0]["params"]
    return rows


def print_variants(rows: list[dict[str, Any]]) -> None:
    """The rows of `sweep_rows` as a table, the first of very many."""
    print_table(
        ("variant", "params", "/ base", "state bytes", "FLOPs/token", "runs"),
        [
            (
                row["variant"],
                text(row["params"]),
                f"{row['params_ratio']:.3f}",
                text(row["state_bytes_per_sequence"]),
                size(row["flops_per_token"]),
                text(row["runs"]),
            )
            for row in rows[:MOST_SHOWN]
        ],
    )
    if len(rows) > MOST_SHOWN:
        print(f"and {len(rows) - MOST_SHOWN} variants more; --json lists all")


def print_changes(rows: list[dict[str, Any]]) -> None:
    """What each variant has that the baseline has not, the first of very many."""
    from playground.report.text import plain

    changed = [row for row in rows if row["changes"]][:MOST_SHOWN]
    cells = [(row["variant"], plain(row["changes"])) for row in changed]
    print_table(("variant", "changes"), cells, numbers=False)
    for row in changed:
        if row["dropped"]:
            print(f"{row['variant']}: its model has no {', '.join(row['dropped'])} of the base")


@verb("explain")
def explain(
    spec: Spec,
    words: Words = None,
    no_compile: NoCompile = False,
    trace: TraceText = None,
    figure: TraceFile = None,
    out: Out = Here,
    json: Json = False,
) -> None:
    """Print the plan after every pass, with reasons and equations."""
    from playground.cli.explaining import explanation, print_explanation
    from playground.cli.tracing import draw_trace

    if trace is not None:
        if json:
            raise PlaygroundError("--trace: draws a figure. Leave it or --json out.")
        draw_trace(spec, overrides(words), trace, figure or Path("trace.png"), out)
        return
    if figure is not None:
        raise PlaygroundError("--figure: there is nothing to draw. Add --trace TEXT.")
    found = explanation(spec, overrides(words), no_compile=no_compile)
    if json:
        print_json(found)
    else:
        print_explanation(found)


@verb("schema")
def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from playground.spec.schema import json_schema

    print_json(json_schema())
