"""Scores of lm-evaluation-harness, as `eval --harness` shows them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from playground.cli.show import print_json, print_table, text
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.cli.find import Found


def show_harness(
    found: "Found", tasks: str, include_path: Path | None, limit: int | None, json: bool
) -> None:
    """Score a model and print a table or JSON.

    Args:
        found: the model.
        tasks: names of the harness with commas between them.
        include_path: a folder with task files of one's own.
        limit: at most so many examples of each task.
        json: whether to print JSON.

    Raises:
        PlaygroundError: the model is not one of text, the extra is missing, or a task is unknown.
    """
    from playground.cli.words import tokenizer_of
    from playground.harness import Scorer, load, run
    from playground.tasks import device_of
    from playground.train import restore
    from playground.train.machine import autocast

    load()  # what is missing is said before anything is read
    tokenizer = tokenizer_of(found.spec.task, found.folder)
    if tokenizer is None:
        raise PlaygroundError(f"{found.folder}: it was not trained on text. Name a run of text.")
    # texts have too many lengths to be worth compiling for
    model = restore(found.folder, replace(found.spec, compile=False))
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    scorer = Scorer(model, found.spec.model, tokenizer)
    with autocast(found.spec.dtype, device_of(model)):
        scores = run(scorer, names, include_path=include_path, limit=limit)
    if json:
        print_json({"folder": str(found.folder), "results": scores})
        return
    rows = [(task, n, text(value)) for task, by in scores.items() for n, value in by.items()]
    print_table(("task", "score", ""), rows)
