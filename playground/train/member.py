"""One run of a stack: its parts, and how far it is."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from playground.errors import RunFailed
from playground.spec.run import RunSpec
from playground.tasks import Task
from playground.train.checkpoint import Checkpoint
from playground.train.clock import Clock, Mean
from playground.train.health import check_weights
from playground.train.machine import autocast
from playground.train.optim import load_optimizer_tensors, make_optimizer, optimizer_tensors
from playground.train.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Best:
    """The weights that were best on val, on the CPU, by the names of the model."""

    step: int
    scores: Mapping[str, float]
    weights: Mapping[str, torch.Tensor]


class Member:
    """A run that is being trained.

    Args:
        spec: what it is.
        task: where its batches come from.
        model: fresh or finished, on `device`.
        folder: where its rows and checkpoints go.
        began: when its program began, seconds since 1970.
    """

    def __init__(
        self,
        *,
        spec: RunSpec,
        task: Task,
        model: nn.Module,
        folder: RunFolder,
        device: torch.device,
        began: float,
    ) -> None:
        self.spec, self.task, self.model, self.folder = spec, task, model, folder
        self.device, self.began = device, began
        self.optimizer = make_optimizer(spec.train.optim, model)
        self.weights = list(model.parameters())  # to walk through all modules takes a while
        self.step = 0  # optimizer steps done
        self.tokens = 0  # read in training
        self.grad_norm = 0.0  # of the last step, before clipping
        self.clock = Clock()
        self.recent_loss = Mean()
        self.scores: dict[str, float] = {}  # of the last evaluation on val
        self.best: Best | None = None  # of `keep: best`
        self.failure: RunFailed | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.spec.train.steps

    @property
    def active(self) -> bool:
        """Whether there are steps left, and nothing against them."""
        return self.step < self.steps and self.failure is None

    def autocast(self) -> AbstractContextManager[object]:
        """That of its dtype, for every call of the model."""
        return autocast(self.spec.dtype, self.device)

    def scored(self, scores: dict[str, float]) -> None:
        """Take note of an evaluation on val, and of the weights if they are the best so far."""
        self.scores = scores
        better = self.best is None or scores["loss"] < self.best.scores["loss"]
        if self.spec.train.keep == "best" and better:
            now = self.model.state_dict().items()
            weights = {name: t.detach().to("cpu", copy=True) for name, t in now}
            self.best = Best(step=self.step, scores=scores, weights=weights)

    def take_best(self) -> None:
        """Go back to the weights that were best on val, where those are to be kept."""
        if self.best is None:
            return
        self.model.load_state_dict(dict(self.best.weights))
        self.scores = dict(self.best.scores)
        text = f"kept the weights of step {self.best.step}, the best on val"
        self.folder.append({"kind": "note", "text": text, "step": self.step})

    def checkpoint(self) -> None:
        """Write where the run stands.

        Raises:
            RunFailed: a weight is not finite.
        """
        check_weights(self.model, self.step)
        weights = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        numbers: dict[str, Any] = {
            "tokens": self.tokens,
            "scores": self.scores,
            "loss_total": self.recent_loss.total,
            "loss_count": self.recent_loss.count,
            "clock": self.clock.numbers(),
        }
        tensors = {**weights, **optimizer_tensors(self.optimizer, self.model)}
        if self.best is not None:
            tensors |= {f"best/{name}": t for name, t in self.best.weights.items()}
            numbers["best"] = {"step": self.best.step, "scores": dict(self.best.scores)}
        self.folder.checkpoints.save(Checkpoint(step=self.step, tensors=tensors, numbers=numbers))

    def resume(self, newest: int | None = None) -> list[str]:
        """Go on from the last whole checkpoint, if there is one; what is worth saying about it.

        Rows of later steps are dropped: they are written again, with the same numbers.

        Args:
            newest: of a step not above this one; None for any.
        """
        checkpoint, notes = self.folder.checkpoints.load(newest)
        begun = checkpoint.step if checkpoint else 0
        self.folder.rewind(begun)
        self.folder.checkpoints.drop_after(begun)
        if checkpoint is not None:
            self.model.load_state_dict(_under("model/", checkpoint.tensors))
            load_optimizer_tensors(self.optimizer, self.model, checkpoint.tensors)
            self._restore(checkpoint.step, checkpoint.numbers)
            if (best := checkpoint.numbers.get("best")) is not None:
                self.best = Best(**best, weights=_under("best/", checkpoint.tensors))
            notes.append(f"taken up again after step {checkpoint.step}")
        for text in notes:
            self.folder.append({"kind": "note", "text": text})
        return notes

    def _restore(self, step: int, numbers: Mapping[str, Any]) -> None:
        self.step = step
        self.tokens = int(numbers["tokens"])
        self.scores = dict(numbers["scores"])
        self.recent_loss = Mean(float(numbers["loss_total"]), int(numbers["loss_count"]))
        self.clock.restore(numbers["clock"])


def kept_weights(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint that a run stands for: the best on val if it keeps those."""
    return _under("best/", tensors) or _under("model/", tensors)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
