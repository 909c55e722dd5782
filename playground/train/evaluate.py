"""Scoring a model that is there already: a run of the store, or an exported folder."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

from playground.compile.process import prepare_process
from playground.errors import SpecError
from playground.spec import RunSpec
from playground.tasks import Model, Progress, make_task
from playground.tasks import evaluate as evaluate_task
from playground.train.loop import named_scores
from playground.train.memory import frozen_memory
from playground.train.restore import restore


def evaluate(
    path: Path | str,
    *,
    spec: RunSpec,
    split: str = "test",
    freeze_memory: bool = False,
    length: int | None = None,
    batches: int | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Scores of a trained model on its task.

    Args:
        path: a run's folder or an exported model.
        spec: the task, device and lowering to use; its model must be the one that is stored.
        split: "val" or "test".
        freeze_memory: read and never write: what is left without learning at test time.
        length: tokens of an example, where it shall differ from training.
        batches: at most so many batches; None for the whole split.
        progress: called with (batches done, batches in all).

    Returns:
        "loss" and the task's other scores, as "test/loss" in a result.
    """
    prepare_process()
    if length is not None:
        spec = with_length(spec, length)
    task = make_task(spec.task)
    model = restore(path, spec)
    frozen = frozen_memory(model) if freeze_memory else nullcontext()
    with frozen:
        scores = evaluate_task(task, cast(Model, model), split, batches=batches, progress=progress)
    return named_scores(scores)


def with_length(spec: RunSpec, length: int) -> RunSpec:
    """The same run on longer or shorter examples.

    Raises:
        SpecError: the task has no length, or not this one.
    """
    if not hasattr(spec.task, "length"):
        raise SpecError("task.length", f"{spec.task.kind} has no length.", fix="Leave it out.")
    fields: dict[str, object] = {"length": length}
    if hasattr(spec.task, "test_lengths"):
        fields["test_lengths"] = (length,)
    try:
        return replace(spec, task=replace(spec.task, **fields))
    except SpecError as error:
        raise error.under("task") from None
