"""Scoring a model that is there already: a run of the store, or an exported folder."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from playground.compile.process import prepare_process
from playground.errors import PlaygroundError, SpecError
from playground.spec import RunSpec
from playground.tasks import Model, Progress, Scoring, Task, TextTask, device_of, make_task
from playground.tasks import evaluate as evaluate_task
from playground.train.loop import named_scores
from playground.train.machine import autocast
from playground.train.memory import frozen_memory
from playground.train.restore import check_data, restore
from playground.train.streaming import Meter

PIECE = 1024  # longer sequences are read so many tokens at a time


def evaluate(
    path: Path | str,
    *,
    spec: RunSpec,
    split: str = "test",
    freeze_memory: bool = False,
    length: int | None = None,
    batches: int | None = None,
    by_position: bool = False,
    progress: Progress | None = None,
    meter: Meter | None = None,
) -> dict[str, float]:
    """Scores of a trained model on its task: "loss" and others, as "test/loss" in a result.

    Args:
        path: a run's folder or an exported model.
        spec: the task, device, dtype and lowering to use; its model has the stored weights.
        split: "val" or "test".
        freeze_memory: read and never write.
        length: tokens of an example, if not as in training; of a text, tokens of one stream, which
            begins again where the split ends. Long ones are read in pieces with the state carried.
        batches: at most so many batches; None for the whole split. Not with `length` of a text.
        by_position: of a text, also "loss@1024-2048" and so on, nats per token at these places.
        progress: called with (batches done, batches in all).
        meter: told of every piece of a long sequence.

    Raises:
        PlaygroundError: options that do not fit, or data that are not those of the training.
    """
    prepare_process()
    task = _task(path, spec, length)
    scoring = _scoring(spec, task, split, length, by_position, batches)
    model = cast(Model, restore(path, spec))
    how: dict[str, Any] = {"scoring": scoring, "piece": PIECE, "watch": meter, "progress": progress}
    frozen = frozen_memory(cast(nn.Module, model)) if freeze_memory else nullcontext()
    if meter is not None:
        meter.begin()
    with frozen, autocast(spec.dtype, device_of(model)):
        return named_scores(evaluate_task(task, model, split, batches=batches, **how))


def _task(path: Path | str, spec: RunSpec, length: int | None) -> Task:
    """The task, of examples of this length, on the data of the training."""
    of_text = spec.task.kind == "text"  # one stream: its examples stay as they are
    asked = spec.task if length is None or of_text else with_length(spec, length).task
    task = make_task(asked)
    check_data(path, asked, task)
    return task


def _scoring(
    spec: RunSpec,
    task: Task,
    split: str,
    length: int | None,
    by_position: bool,
    batches: int | None,
) -> Scoring | None:
    """The evaluation of a task, where that is not the usual one."""
    if batches is not None and batches < 1:
        raise PlaygroundError(f"batches: {batches} leaves nothing to score. Write 1 or more.")
    if spec.task.kind != "text":
        if by_position:
            raise SpecError("task", f"{spec.task.kind} has no loss by position.", fix="Name text.")
        return None
    if not isinstance(task, TextTask):
        raise SpecError("task.kind", "text was registered anew.", fix="Use another name.")
    if length is None:
        return task.scoring(split, batches=batches, by_position=by_position)
    if batches is not None:
        fix = "Leave batches out, or ask for fewer tokens."
        raise SpecError("length", "one stream has no batches to take some of.", fix=fix)
    if length < 2:
        raise SpecError("length", f"{length} is too short.", fix="Write at least 2.")
    return task.stream(split, length, by_position=by_position)


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
