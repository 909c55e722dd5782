"""Verbs about one run: train, eval, generate, export."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from playground.cli.app import FAILED, verb
from playground.cli.options import (
    Here,
    Json,
    NoCompile,
    Out,
    Spec,
    Words,
    overrides,
    runs_folder,
)
from playground.cli.show import duration, print_json, print_pairs, rate, text, tokens_of
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.cli.find import Found
    from playground.train import Result

What = Annotated[
    Path, typer.Argument(help="A spec, a run's folder or fingerprint, or an exported folder.")
]
Retry = Annotated[bool, typer.Option("--retry", help="Try again what failed before.")]
Split = Annotated[str, typer.Option("--split", help="val, test or train.")]
Freeze = Annotated[
    bool, typer.Option("--freeze-memory", help="Read the memory and never write it.")
]
Length = Annotated[
    str | None,
    typer.Option("--length", help="Tokens of an example, or of one stream of text: 512, 16K, 2M."),
]
ByPosition = Annotated[
    bool, typer.Option("--by-position", help="Also the loss by place in the stream (text).")
]
Figure = Annotated[
    Path | None, typer.Option("--figure", help="Draw speed, memory and loss: svg, png or pdf.")
]
Harness = Annotated[
    str | None,
    typer.Option("--harness", help="Tasks of lm-evaluation-harness instead: wikitext,piqa,..."),
]
Include = Annotated[
    Path | None, typer.Option("--include-path", help="A folder with harness tasks of your own.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many examples of a harness task.")
]
Batches = Annotated[int | None, typer.Option("--batches", min=1, help="At most so many batches.")]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help="What to go on from, several times if you like: text (a line break if none is "
        "given), or token ids where the task has no text.",
    ),
]
Tokens = Annotated[int, typer.Option("--tokens", min=0, help="How many to add.")]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest.")
]
TopK = Annotated[int | None, typer.Option("--top-k", min=1, help="Draw from the k likeliest only.")]
Seed = Annotated[int, typer.Option("--seed", help="Another seed gives another sample.")]
Target = Annotated[Path, typer.Argument(help="The folder to write.")]


@verb("train")
def train(
    spec: Spec,
    words: Words = None,
    no_compile: NoCompile = False,
    retry: Retry = False,
    out: Out = Here,
    json: Json = False,
) -> int:
    """Train a run, or take it up where it was left.

    A bare model needs a task as well: task.kind=text task.corpus=my.txt, for example.
    """
    from playground.cli.progress import RunDisplay, bars
    from playground.spec import load_run
    from playground.train import train as train_run

    run = load_run(spec, *overrides(words, no_compile))
    with bars() as bar:
        result = train_run(run, runs_folder(out), RunDisplay(bar), retry=retry)
    folder = runs_folder(out) / result.fingerprint
    if json:
        print_json({**result.to_dict(), "folder": str(folder)})
    else:
        _print_result(result, folder)
    return 0 if result.ok else FAILED


def _print_result(result: "Result", folder: Path) -> None:
    facts: dict[str, Any] = {"run": folder, "status": result.status}
    if result.reason:
        facts["reason"] = f"{result.reason}; once more: --retry"
    facts |= {name: value for name, value in result.metrics.items() if name != "tokens_per_s"}
    facts |= {f"floor {name}": value for name, value in result.floors.items()}
    facts |= {
        "parameters": result.params,
        "tokens": result.tokens,
        "speed": rate(result.metrics.get("tokens_per_s")),
        "time": duration(result.wall_s),
    }
    print_pairs(facts)


@verb("eval")
def evaluate(
    what: What,
    words: Words = None,
    split: Split = "test",
    freeze_memory: Freeze = False,
    length: Length = None,
    by_position: ByPosition = False,
    figure: Figure = None,
    batches: Batches = None,
    harness: Harness = None,
    include_path: Include = None,
    limit: Limit = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> None:
    """Score a trained model on its task, at any length."""
    from playground.cli.evaluating import Asked, given, refuse, show
    from playground.cli.find import find
    from playground.cli.harnessing import show_harness

    found = _uncompiled(find(what, overrides(words), out, no_compile=no_compile), no_compile)
    asked = Asked(
        split=split,
        freeze_memory=freeze_memory,
        length=None if length is None else tokens_of(length, "--length"),
        batches=batches,
        by_position=by_position,
    )
    if harness is not None:
        refuse(given(asked, figure), "scores by --harness do not take it")
        show_harness(found, harness, include_path, limit, json)
        return
    only = {"--include-path": include_path, "--limit": limit}
    refuse([name for name, value in only.items() if value], "it is for --harness alone")
    show(found, asked, figure, json)


def _uncompiled(found: "Found", no_compile: bool) -> "Found":
    """The same without torch.compile, where asked: how it runs, not which run it is."""
    return replace(found, spec=replace(found.spec, compile=False)) if no_compile else found


Compile = Annotated[bool, typer.Option("--compile", help="Compile first: for many tokens.")]


@verb("generate")
def generate(
    what: What,
    words: Words = None,
    prompt: Prompts = None,
    tokens: Tokens = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = None,
    seed: Seed = 0,
    compile: Compile = False,
    out: Out = Here,
    json: Json = False,
) -> None:
    """Let a trained model go on from a prompt."""
    from playground.cli.find import find
    from playground.cli.words import prompts_of, to_text, tokenizer_of
    from playground.train import generate as sample
    from playground.train import restore

    _check_finite("--temperature", temperature)
    found = _uncompiled(find(what, overrides(words), out), not compile)
    tokenizer = tokenizer_of(found.spec.task, found.folder)
    asked, prompts = prompts_of(tokenizer, prompt, found.spec.model)
    model = restore(found.folder, found.spec)
    rows = sample(
        model,
        found.spec.model,
        prompts,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        vocab=None if tokenizer is None else tokenizer.vocab,
        seed=seed,
    )
    pairs = [(one, to_text(tokenizer, row)) for one, row in zip(asked, rows, strict=True)]
    if json:
        print_json([{"prompt": given, "text": added} for given, added in pairs])
        return
    for given, added in pairs:
        ids = [*given.split(), *added.split()]
        print(given + added if tokenizer is not None else " ".join(ids))


def _check_finite(option: str, value: float) -> None:
    if not math.isfinite(value):
        raise PlaygroundError(f"{option}: {value} is no number. Write 0.8, for example.")


@verb("export")
def export(
    what: What, target: Target, words: Words = None, out: Out = Here, json: Json = False
) -> None:
    """Write a trained model to one folder."""
    from playground.cli.find import find, refuse_words
    from playground.train import RunFolder
    from playground.train import export as write

    if "=" in target.name:
        problem = f"{target} is an override, not a folder."
        raise PlaygroundError(f"TARGET: {problem} Name the folder first, the overrides after it.")
    refuse_words(what, words, "a trained model is exported as it is")
    folder = write(RunFolder(find(what, overrides(words), out).folder), target)
    files = sorted(path.name for path in folder.iterdir())
    if json:
        print_json({"folder": str(folder), "files": files})
    else:
        print_pairs({"folder": folder, "files": text(files)})
