"""The training loop: every run of this project goes through it.

It trains a stack of members, one by default. How the stack is computed is its `Program`; data,
optimizer, rows, checkpoints and failures belong to each member by itself.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from playground.errors import RunFailed
from playground.tasks import Batch
from playground.train import health
from playground.train.events import Event, Progress, ignore
from playground.train.member import Member
from playground.train.memory import memory_log
from playground.train.optim import applied_lr, scheduled_lr, set_lr
from playground.train.program import Program
from playground.train.seeds import stream
from playground.train.signals import RunInterrupted, StopRequest


def run_loop(
    program: Program,
    *,
    progress: Progress = ignore,
    stop: StopRequest | None = None,
    failed: Callable[[Member], None] = lambda member: None,
) -> None:
    """Train every member to its last step, or to its `failure`.

    Args:
        program: of members that stand at the same step and have as many to go.
        progress: told of every step and evaluation.
        stop: looked at after every step.
        failed: told of a member at the step in which it got its `failure`; the others go on.

    Raises:
        RunInterrupted: `stop` was asked; every member has a checkpoint of this step.
    """
    while active := [member for member in program.members if member.active]:
        began = time.perf_counter()
        losses, tokens = _update(program)
        seconds = time.perf_counter() - began
        for member, loss in zip(program.members, losses, strict=True):
            if member.failure is None:
                member.clock.count(seconds, tokens)
                _record(member, loss, progress)
        _evaluate_due(program, active, progress)
        for member in active:
            with _failing(member):
                _checkpoint_due(member)
            if member.failure is not None:
                failed(member)
        if stop is not None and stop.requested:
            _interrupt(active, failed)


def _interrupt(members: Sequence[Member], failed: Callable[[Member], None]) -> None:
    """Put all that have steps left away."""
    for member in members:
        if member.active:
            with _failing(member):
                member.checkpoint()
            if member.failure is not None:
                failed(member)
    if left := [member for member in members if member.active]:
        raise RunInterrupted(left[0].folder.path, left[0].step, left[0].steps)


@contextmanager
def _failing(member: Member) -> Iterator[None]:
    """What goes wrong with one member is its own end only."""
    try:
        yield
    except RunFailed as failure:
        member.failure = failure


def _update(program: Program) -> tuple[list[float], int]:
    """One optimizer step: every member's loss (per scored target), and tokens read by each."""
    members = program.members
    spec, step = members[0].spec.train, max(member.step for member in members)
    parts = [[_part(m, step, number) for m in members] for number in range(spec.accumulate)]
    # Over all parts, so that accumulation gives the gradient of one large batch.
    counts = [
        max(1, sum(member.task.loss.scored(part[i].targets) for part in parts))
        for i, member in enumerate(members)
    ]
    losses, read = [0.0] * len(members), sum(part[0].size for part in parts)
    for member in members:
        if not member.model.training:  # going through all modules takes a hundredth of a small step
            member.model.train()
    program.clear()
    for number, part in enumerate(parts):
        torch.manual_seed(stream(members[0].spec.seed, "dropout", step, number))
        found = program.gradients(part, counts)
        losses = [total + loss for total, loss in zip(losses, found, strict=True)]
    for member, loss, norm in zip(members, losses, program.norms(), strict=True):
        if member.active:
            with _failing(member):
                _ready(member, loss, norm)
    program.step()
    for member in members:
        if member.active:
            member.step += 1
            member.tokens += read
    return losses, read


def _part(member: Member, step: int, number: int) -> Batch:
    train = member.spec.train
    index = step * train.accumulate + number
    return member.task.batch("train", member.spec.seed, index, train.batch)


def _ready(member: Member, loss: float, norm: float) -> None:
    """Before the step of a member's weights: its numbers are looked at, its rate is set.

    Raises:
        RunFailed: a number is not finite; with the step and the first bad tensor.
    """
    member.grad_norm = norm
    health.check(member.model, loss=loss, grad_norm=norm, step=member.step + 1)
    rate = scheduled_lr(member.spec.train.optim, member.step, member.steps)
    set_lr(member.optimizer, rate)


def _record(member: Member, loss: float, progress: Progress) -> None:
    """The row that is due after a step, and word of it."""
    spec, step, last = member.spec.train, member.step, member.step == member.steps
    member.recent_loss.add(loss)
    if step % spec.log_every == 0 or step == 1 or last:
        member.folder.append(_train_row(member))
    progress(
        Event(
            kind="step",
            fingerprint=member.folder.fingerprint,
            step=step,
            steps=member.steps,
            loss=loss,
            tokens_per_s=member.clock.tokens_per_s(),
            eta_s=member.clock.eta_s(step, member.steps, member.spec.tokens_by),
        )
    )


def _train_row(member: Member) -> dict[str, object]:
    return {
        "kind": "train",
        "step": member.step,
        "tokens": member.tokens,
        "loss": member.recent_loss.take(),  # the mean since the row before
        "lr": applied_lr(member.optimizer),
        "grad_norm": member.grad_norm,
        "tokens_per_s": member.clock.tokens_per_s(),
        "elapsed_s": member.clock.elapsed_s(),
    }


def _checkpoint_due(member: Member) -> None:
    due = member.step % member.spec.train.checkpoint_every == 0 or member.step == member.steps
    if due and member.failure is None:
        member.checkpoint()


def _evaluate_due(program: Program, active: Sequence[Member], progress: Progress) -> None:
    """Score on val where that is due, with what the memories of each layer do."""
    going = [member for member in active if member.failure is None]
    if not going:
        return
    spec, step = going[0].spec.train, going[0].step
    if step % spec.eval_every and step != spec.steps:
        return
    scores = program.evaluate("val", batches=spec.eval_batches)
    for member, found in zip(program.members, scores, strict=True):
        if any(member is one for one in going):
            with _failing(member):
                _evaluated(member, named_scores(found), progress)


def _evaluated(member: Member, scores: dict[str, float], progress: Progress) -> None:
    with member.autocast():
        layers = memory_log(member.model, member.task.batch("val", 0, 0, 2).to(member.device))
    member.scored(scores)
    place = {"step": member.step, "tokens": member.tokens}
    member.folder.append({"kind": "eval", "split": "val", **place, **scores})
    if layers:
        member.folder.append({"kind": "memory", **place, "layers": layers})
    if scores["loss"] != scores["loss"]:
        bad = health.bad_weight(member.model) or "the loss on val"
        raise RunFailed("not a number", member.step, bad)
    progress(
        Event(
            kind="eval",
            fingerprint=member.folder.fingerprint,
            step=member.step,
            steps=member.steps,
            loss=scores["loss"],
            metrics=scores,
        )
    )


def named_scores(scores: dict[str, float]) -> dict[str, float]:
    """The scores of an evaluation without its counts of what was scored."""
    return {name: value for name, value in scores.items() if name not in ("tokens", "bytes")}
