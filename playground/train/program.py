"""How the members of a stack are computed: one by itself, or all of them as one program."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from blocks.sampled import draw, sampled_loss
from playground.compile.stacked import Stacked
from playground.tasks import IGNORE, Ask, Batch, Progress, Scores, evaluate, score
from playground.tasks import Model as Scored
from playground.train.member import Member
from playground.train.optim import clipping
from playground.train.optims import StackedOptimizers


class Program(Protocol):
    """Forward, backward and optimizer of a stack."""

    @property
    def members(self) -> Sequence[Member]:
        """In the order of all lists here."""
        ...

    def clear(self) -> None:
        """Forget all gradients."""
        ...

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """Add every member's gradients of one batch each; the losses, over `scored` targets."""
        ...

    def norms(self) -> list[float]:
        """Of every member's gradients; where one is not finite, its model has them to look at."""
        ...

    def step(self) -> None:
        """Clip the gradients of the members that are active, and move their weights."""
        ...

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Progress | None = None
    ) -> list[Scores]:
        """Every member's scores on a split of its task."""
        ...


class Alone:
    """A stack of one: the member's model as it is."""

    def __init__(self, member: Member) -> None:
        self.members: Sequence[Member] = [member]
        self._norm = torch.zeros(())

    def clear(self) -> None:
        """See `Program`."""
        for weight in self.members[0].weights:
            weight.grad = None

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """See `Program`."""
        (member,), (part,), (count,) = self.members, parts, scored
        batch = part.to(member.device)
        with member.autocast():
            loss = _loss(member, batch) / count
        loss.backward()
        return [loss.item()]

    def norms(self) -> list[float]:
        """See `Program`."""
        grads = [p.grad for p in self.members[0].weights if p.grad is not None]
        self._norm = torch.nn.utils.get_total_norm(grads)
        return [self._norm.item()]

    def step(self) -> None:
        """See `Program`."""
        (member,), weights = self.members, self.members[0].weights
        if not member.active:
            return
        if (most := member.spec.train.optim.clip) > 0:
            weights = [p for p in weights if p.grad is not None]
            torch.nn.utils.clip_grads_with_norm_(weights, most, self._norm)
        member.optimizer.step()

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Progress | None = None
    ) -> list[Scores]:
        """See `Program`."""
        (member,) = self.members
        model = cast(Scored, member.model)
        with member.autocast():
            return [evaluate(member.task, model, split, batches=batches, progress=progress)]


class Together:
    """Members of one shape as one program; their parameters are views of its weights.

    Args:
        members: with models of one spec, without torch.compile around their blocks.
        optimizers: theirs, over the weights of their models.
        stacked: what they are trained as.
        scored: what evaluations run as.
    """

    def __init__(
        self,
        members: Sequence[Member],
        optimizers: StackedOptimizers,
        stacked: Stacked,
        scored: Stacked,
    ) -> None:
        self.members, self.optimizers = list(members), optimizers
        self.stacked, self.scored = stacked, scored
        self.weights, self._norms = optimizers.weights, [0.0] * len(members)
        self._summed = partial(members[0].task.loss.summed, stacked=True)

    def clear(self) -> None:
        """See `Program`."""
        self.weights.clear()

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """See `Program`."""
        first = self.members[0]
        batch = _stack(parts).to(first.device)
        counts = torch.tensor(scored, device=first.device)
        with first.autocast():
            found = self.stacked.losses(
                batch.tokens, batch.targets, self._summed, positions=batch.positions
            )
            losses = found / counts
        losses.sum().backward()
        return losses.tolist()

    def norms(self) -> list[float]:
        """See `Program`."""
        self._norms = self.optimizers.norms().tolist()
        pairs = zip(self.members, self._norms, strict=True)
        if any(member.active and not math.isfinite(norm) for member, norm in pairs):
            self.weights.show_gradients()
        return self._norms

    def step(self) -> None:
        """See `Program`."""
        clips = [member.spec.train.optim.clip for member in self.members]
        pairs = zip(self._norms, clips, strict=True)
        self.optimizers.scale([clipping(norm, most) for norm, most in pairs])
        self.optimizers.step([i for i, one in enumerate(self.members) if one.active])

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Progress | None = None
    ) -> list[Scores]:
        """See `Program`."""
        first, state = self.members[0], None

        def answer(asks: Sequence[Ask]) -> Sequence[Tensor]:
            """What every member says to its question."""
            nonlocal state
            batch = _stack([ask.batch for ask in asks]).to(first.device)
            if not asks[0].carry:
                return _logits(self.scored, batch).unbind(0)
            if state is None or asks[0].begin:
                state = self.scored.start(batch.tokens.shape[1])
            logits, state = self.scored(batch.tokens, state.detach(), positions=batch.positions)
            return logits.unbind(0)

        for member in self.members:
            member.model.eval()
        scorings = [member.task.scoring(split, batches=batches) for member in self.members]
        with torch.no_grad(), first.autocast():
            return score(scorings, answer, progress)


def _stack(parts: Sequence[Batch]) -> Batch:
    positions = [part.positions for part in parts if part.positions is not None]
    return Batch(
        tokens=torch.stack([part.tokens for part in parts]),
        targets=torch.stack([part.targets for part in parts]),
        positions=torch.stack(positions) if positions else None,
    )


def _logits(model: "nn.Module | Stacked", batch: Batch) -> Tensor:
    if batch.positions is None:
        return model(batch.tokens)
    return model(batch.tokens, positions=batch.positions)


def _loss(member: Member, batch: Batch) -> Tensor:
    """The summed loss of a batch, over a part of the vocabulary where the run says so."""
    model, sample = member.model, member.spec.train.softmax_sample
    if not sample:
        return member.task.loss.summed(_logits(model, batch), batch.targets)

    def head(x: Tensor, weight: Tensor) -> Tensor:
        scored = batch.targets != IGNORE
        classes = draw(weight.shape[0], sample, weight.device)
        return sampled_loss(x[scored], weight, batch.targets[scored], *classes).sum()

    return model(batch.tokens, positions=batch.positions, head=head)
