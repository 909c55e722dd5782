"""Verbs about one run: train, eval, generate, export."""

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
from playground.cli.show import duration, print_json, print_pairs, rate, text
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.cli.find import Found
    from playground.train import Result

What = Annotated[
    Path, typer.Argument(help="A spec, a run's folder or fingerprint, or an exported folder.")
]
Retry = Annotated[bool, typer.Option("--retry", help="Try again what failed before.")]
Split = Annotated[str, typer.Option("--split", help="val or test.")]
Freeze = Annotated[
    bool, typer.Option("--freeze-memory", help="Read the memory and never write it.")
]
Length = Annotated[int | None, typer.Option("--length", help="Tokens of an example.")]
Batches = Annotated[int | None, typer.Option("--batches", help="At most so many batches.")]
Prompts = Annotated[
    list[str], typer.Option("--prompt", help="What to go on from; may be given several times.")
]
Tokens = Annotated[int, typer.Option("--tokens", help="How many to add.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 takes the likeliest.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Draw from the k likeliest only.")]
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
    batches: Batches = None,
    no_compile: NoCompile = False,
    out: Out = Here,
    json: Json = False,
) -> None:
    """Score a trained model on its task."""
    from playground.cli.find import find
    from playground.cli.progress import Countdown, bars
    from playground.tasks import SPLITS
    from playground.train import evaluate as score

    if split not in SPLITS:
        raise PlaygroundError(f"--split: {split!r} is none. Write val or test.")
    found = find(what, overrides(words), out)
    run = _uncompiled(found, no_compile)
    with bars() as bar:
        scores = score(
            found.folder,
            spec=run.spec,
            split=split,
            freeze_memory=freeze_memory,
            length=length,
            batches=batches,
            progress=Countdown(bar, split),
        )
    named: dict[str, object] = {f"{split}/{name}": value for name, value in scores.items()}
    if json:
        print_json({"folder": str(found.folder), "freeze_memory": freeze_memory, **named})
    else:
        print_pairs({"model": found.folder, "memory frozen": freeze_memory, **named})


def _uncompiled(found: "Found", no_compile: bool) -> "Found":
    """The same without torch.compile, where asked: how it runs, not which run it is."""
    return replace(found, spec=replace(found.spec, compile=False)) if no_compile else found


Compile = Annotated[bool, typer.Option("--compile", help="Compile first: for many tokens.")]


@verb("generate")
def generate(
    what: What,
    words: Words = None,
    prompt: Prompts = ["\n"],  # noqa: B006 - typer copies it
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
    from playground.cli.words import to_ids, to_text, tokenizer_of
    from playground.train import generate as sample
    from playground.train import restore

    found = _uncompiled(find(what, overrides(words), out), not compile)
    tokenizer = tokenizer_of(found.spec.task)
    prompts = [to_ids(tokenizer, one) for one in prompt]
    model = restore(found.folder, found.spec)
    rows = sample(
        model,
        found.spec.model,
        prompts,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
    texts = [to_text(tokenizer, row) for row in rows]
    if json:
        pairs = zip(prompt, texts, strict=True)
        print_json([{"prompt": given, "text": added} for given, added in pairs])
        return
    for given, added in zip(prompt, texts, strict=True):
        print(given + added)


@verb("export")
def export(
    what: What, target: Target, words: Words = None, out: Out = Here, json: Json = False
) -> None:
    """Write a trained model to one folder."""
    from playground.cli.find import find
    from playground.train import RunFolder
    from playground.train import export as write

    folder = write(RunFolder(find(what, overrides(words), out).folder), target)
    files = sorted(path.name for path in folder.iterdir())
    if json:
        print_json({"folder": str(folder), "files": files})
    else:
        print_pairs({"folder": folder, "files": text(files)})
