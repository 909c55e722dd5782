"""The model that a run asks for, built and lowered."""

from typing import cast

import torch
from torch import nn

from blocks.reads import Series
from blocks.series import SeriesModel
from playground.compile import compile as compile_model
from playground.errors import SpecError
from playground.spec import ModelSpec, RunSpec
from playground.tasks import ForecastTask, Task


def prepare_model(spec: RunSpec, task: Task, device: torch.device) -> nn.Module:
    """The run's model with its initial weights, lowered and on the device.

    Raises:
        SpecError: the task has more symbols than the model, or no windows to fit a map to.
        LoweringError: nothing can run it as asked.
    """
    if task.vocab > spec.model.vocab:
        raise SpecError(
            "model.vocab",
            f"{spec.model.vocab} is fewer than the {task.vocab} symbols of the task.",
            fix=f"Write model.vocab: {task.vocab}.",
        )
    model = lowered(spec.model, spec, device)
    if isinstance(spec.model.reads, Series) and spec.model.reads.skip == "fitted":
        if not isinstance(task, ForecastTask):  # one of somebody's own
            problem = "fitted needs the windows of the task forecast."
            raise SpecError("model.reads.skip", problem, fix="Write linear.")
        cast(SeriesModel, model).begin_at(*task.closed_form())
    return model


def lowered(model: ModelSpec, run: RunSpec, device: torch.device) -> nn.Module:
    """A model with initial weights, on the device, in the form and precision of a run.

    Raises:
        LoweringError: nothing can run it as asked.
    """
    made = compile_model(
        model,
        device=str(device),
        lowering=run.lowering,
        compile=run.compile,
        mode=run.run.compile_mode,
        seed=run.seed,
    )
    return made.double() if run.dtype == "fp64" else made
