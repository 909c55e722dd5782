"""How the members of a stack are computed: one by itself, or all of them as one program."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from blocks.sampled import draw, sampled_loss
from playground.compile.stacked import Stacked, StackedWeights
from playground.tasks import IGNORE, Ask, Batch, Progress, Scores, evaluate, score
from playground.tasks import Model as Scored
from playground.train.member import Member


class Program(Protocol):
    """Forward and backward of a stack."""

    @property
    def members(self) -> Sequence[Member]:
        """In the order of all lists here."""
        ...

    @property
    def settling(self) -> bool:
        """Whether the next step says nothing of the speed of later ones."""
        ...

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """Add every member's gradients of one batch each; the losses, over `scored` targets."""
        ...

    def evaluate(
        self, split: str, *, batches: int | None = None, progress: Progress | None = None
    ) -> list[Scores]:
        """Every member's scores on a split of its task."""
        ...


class Alone:
    """A stack of one: the member's model as it is."""

    settling = False

    def __init__(self, member: Member) -> None:
        self.members: Sequence[Member] = [member]

    def gradients(self, parts: Sequence[Batch], scored: Sequence[int]) -> list[float]:
        """See `Program`."""
        (member,), (part,), (count,) = self.members, parts, scored
        batch = part.to(member.device)
        with member.autocast():
            loss = _loss(member, batch) / count
        loss.backward()
        return [loss.item()]

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
        weights: those of the members' models.
        stacked: what they run as.
    """

    settling = False

    def __init__(
        self, members: Sequence[Member], weights: StackedWeights, stacked: Stacked
    ) -> None:
        self.members, self.weights, self.stacked = list(members), weights, stacked
        self._summed = partial(members[0].task.loss.summed, stacked=True)

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
        self.weights.take_gradients()
        return losses.tolist()

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
                return _logits(self.stacked, batch).unbind(0)
            if state is None or asks[0].begin:
                state = self.stacked.start(batch.tokens.shape[1])
            logits, state = self.stacked(batch.tokens, state.detach(), positions=batch.positions)
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
