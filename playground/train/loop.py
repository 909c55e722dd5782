"""The training loop: every run of this project goes through it.

It trains a stack of members, one by default. What members share is the step; everything that
belongs to one run is in its `Member`.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from playground.errors import RunFailed
from playground.tasks import IGNORE, Batch
from playground.train import health
from playground.train.events import Event, Progress, ignore
from playground.train.member import Member, scored
from playground.train.memory import memory_log
from playground.train.optim import applied_lr, scheduled_lr, set_lr
from playground.train.seeds import stream
from playground.train.signals import RunInterrupted, StopRequest


def run_loop(
    members: Sequence[Member], *, progress: Progress = ignore, stop: StopRequest | None = None
) -> None:
    """Train every member to its last step.

    Args:
        members: runs of the same length that stand at the same step.
        progress: told of every step and evaluation.
        stop: looked at after every step.

    Raises:
        RunFailed: a number is not finite; with the step and the first bad tensor.
        RunInterrupted: `stop` was asked; every member has a checkpoint of this step.
    """
    while any(member.step < member.steps for member in members):
        for member in members:
            began = time.perf_counter()
            loss, grad_norm, tokens = _update(member)
            member.clock.count(time.perf_counter() - began, tokens)
            _record(member, loss, grad_norm, progress)
        if stop is not None and stop.requested and members[0].step < members[0].steps:
            for member in members:
                member.checkpoint()
            raise RunInterrupted(members[0].folder.path, members[0].step, members[0].steps)


def _update(member: Member) -> tuple[float, float, int]:
    """One optimizer step: its loss (nats per scored token), gradient norm and tokens read."""
    spec, model, step = member.spec.train, member.model, member.step
    model.train()
    parts = [
        member.task.batch("train", member.spec.seed, step * spec.accumulate + part, spec.batch)
        for part in range(spec.accumulate)
    ]
    # Over all parts, so that accumulation gives the gradient of one large batch.
    scored = max(1, sum(int((part.targets != IGNORE).sum()) for part in parts))
    member.optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for number, part in enumerate(parts):
        torch.manual_seed(stream(member.spec.seed, "dropout", step, number))
        with autocast(member):
            loss = batch_loss(model, part.to(member.device)) / scored
        loss.backward()
        total += loss.item()
    weights = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
    health.check(model, loss=total, grad_norm=norm.item(), step=step + 1)
    if spec.optim.clip > 0:
        torch.nn.utils.clip_grads_with_norm_(weights, spec.optim.clip, norm)
    set_lr(member.optimizer, scheduled_lr(spec.optim, step, spec.steps))
    member.optimizer.step()
    member.step += 1
    read = sum(part.tokens.numel() for part in parts)
    member.tokens += read
    return total, norm.item(), read


def batch_loss(model: torch.nn.Module, batch: Batch) -> Tensor:
    """Cross entropy in nats, summed over the scored targets, in fp32 at least."""
    if batch.positions is None:
        logits = model(batch.tokens)
    else:
        logits = model(batch.tokens, positions=batch.positions)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), batch.targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )


def autocast(member: Member) -> AbstractContextManager[object]:
    """bf16 matrix products where the run's dtype says so; fast weights stay fp32 by themselves."""
    dtype = member.spec.dtype
    lower = dtype == "bf16" or (dtype == "auto" and member.device.type == "cuda")
    return torch.autocast(member.device.type, dtype=torch.bfloat16, enabled=lower)


def _record(member: Member, loss: float, grad_norm: float, progress: Progress) -> None:
    """Rows, evaluation and checkpoint that are due after a step."""
    spec, step, last = member.spec.train, member.step, member.step == member.steps
    member.recent_loss.add(loss)
    if step % spec.log_every == 0 or step == 1 or last:
        member.folder.append(_train_row(member, grad_norm))
    progress(
        Event(
            kind="step",
            fingerprint=member.folder.fingerprint,
            step=step,
            steps=member.steps,
            loss=loss,
            tokens_per_s=member.clock.tokens_per_s(),
            eta_s=member.clock.eta_s(member.steps - step),
        )
    )
    if step % spec.eval_every == 0 or last:
        _evaluate(member, progress)
    if step % spec.checkpoint_every == 0 or last:
        member.checkpoint()


def _train_row(member: Member, grad_norm: float) -> dict[str, object]:
    return {
        "kind": "train",
        "step": member.step,
        "tokens": member.tokens,
        "loss": member.recent_loss.take(),  # the mean since the row before
        "lr": applied_lr(member.optimizer),
        "grad_norm": grad_norm,
        "tokens_per_s": member.clock.tokens_per_s(),
        "elapsed_s": member.clock.elapsed_s(),
    }


def _evaluate(member: Member, progress: Progress) -> None:
    """Score on val, with what the memories of each layer do."""
    with autocast(member):
        scores = member.task.evaluate(
            scored(member.model), "val", batches=member.spec.train.eval_batches
        )
        layers = memory_log(member.model, member.task.batch("val", 0, 0, 2).to(member.device))
    member.scores = named_scores(scores)
    place = {"step": member.step, "tokens": member.tokens}
    member.folder.append({"kind": "eval", "split": "val", **place, **member.scores})
    if layers:
        member.folder.append({"kind": "memory", **place, "layers": layers})
    if member.scores["loss"] != member.scores["loss"]:
        bad = health.bad_weight(member.model) or "the loss on val"
        raise RunFailed("not a number", member.step, bad)
    progress(
        Event(
            kind="eval",
            fingerprint=member.folder.fingerprint,
            step=member.step,
            steps=member.steps,
            loss=member.scores["loss"],
            metrics=member.scores,
        )
    )


def named_scores(scores: dict[str, float]) -> dict[str, float]:
    """The scores of an evaluation without its counts of what was scored."""
    return {name: value for name, value in scores.items() if name not in ("tokens", "bytes")}
