"""What a task is: batches that are pure functions of their arguments, and an evaluation."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from playground.errors import DataError
from playground.tasks.losses import CROSS_ENTROPY, Loss
from playground.tasks.losses import IGNORE as IGNORE

SPLITS = ("train", "val", "test")
SAME_AS_VAL = "the same text as val"  # what a task without a test part says of it

Progress = Callable[[int, int], None]  # called with (batches done, batches in all)
Watch = Callable[[int, Any], None]  # called with (tokens read, state of the stream)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples of a task.

    Attributes:
        tokens: what the model reads: [B, T] int64; [B, T, F] float frames; or [B, L] float, one
            channel's window of a series.
        targets: int64; [B, T], the next token at every position, or, where `positions` is given,
            [B, n], the answers at those positions only. -100 is not scored. Float [B, T, F] for
            frames (a frame of -100 is not scored) and [B, 1, H] for series.
        positions: [B, n] int64, ascending, or None. A task that scores few positions gives them
            so that `model(tokens, positions=positions)` computes logits [B, n, L] only there:
            with a vocabulary of thousands the head is most of a small model's work.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor | None = None

    @property
    def size(self) -> int:
        """Tokens, frames or points that are read."""
        return self.tokens.shape[0] * self.tokens.shape[1]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`."""
        positions = None if self.positions is None else self.positions.to(device)
        return replace(
            self,
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            positions=positions,
        )


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What an evaluation wants read next.

    Attributes:
        batch: its targets are for the evaluation itself.
        carry: go on from the state after the last one; False begins anew, and keeps no state.
        begin: with `carry`, drop the state that there is: a new stream begins here.
        fresh: [B] bool, rows that begin anew where the others go on; None for none.
        done: batches asked for so far, with this one.
        total: in all.
    """

    batch: Batch
    carry: bool
    done: int
    total: int
    begin: bool = False
    fresh: Tensor | None = None


Scores = dict[str, float]
Scoring = Generator[Ask, Tensor, Scores]  # asks, is told logits, and gives scores at its end


class Model(Protocol):
    """What a task asks of a model.

    `model(tokens)` gives logits [B, T, L] (frames: [B, T, F], series: a forecast [B, 1, H]);
    `model(tokens, state)` gives (logits, state);
    `model(tokens, positions=positions)` gives logits [B, n, L] at those positions, also with a
    state;
    `model.start(batch)` gives the state before the first token, which has `detach()`;
    `model.restart(state, rows)` begins some sequences of it anew, where documents ask for it.
    """

    def __call__(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Any: ...
    def start(self, batch: int) -> Any: ...
    def restart(self, state: Any, rows: Tensor) -> Any: ...


class Task(Protocol):
    """A source of examples with a score.

    Attributes:
        vocab: how many different tokens there are; 0 where examples are not of tokens.
    """

    vocab: int

    @property
    def loss(self) -> Loss:
        """What a model is trained on."""
        ...

    def data_sha(self) -> str:
        """Identity of the data, part of a run's fingerprint."""
        ...

    def batch(self, split: str, seed: int, index: int, size: int) -> Batch:
        """Examples index * size to (index + 1) * size - 1 of the stream (seed, split).

        Example i depends on (seed, split, i) only, whatever the batch size.
        """
        ...

    def scoring(self, split: str, *, batches: int | None = None) -> Scoring:
        """The evaluation on `split`, as questions to a model; see `evaluate`."""
        ...

    def floors(self) -> dict[str, float]:
        """What counting or guessing reaches on the test split, in the unit of the loss; the name
        of one in another score ends in it, as `linear_mae` does."""
        ...

    def describe(self) -> dict[str, Any]:
        """Counts, sha, split borders, protocol; JSON-ready, echoed at the start of a run."""
        ...


def check_split(split: str) -> None:
    """Refuse a split that is not train, val or test."""
    if split not in SPLITS:
        raise DataError("split", f"{split!r} does not exist.", f"Use one of {', '.join(SPLITS)}.")


def device_of(model: Any) -> torch.device:
    """Where the model's parameters are; the CPU for a model without any."""
    first = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def evaluate(
    task: Task,
    model: Model,
    split: str,
    *,
    batches: int | None = None,
    progress: Progress | None = None,
    scoring: Scoring | None = None,
    piece: int | None = None,
    watch: Watch | None = None,
) -> Scores:
    """Score `model` on a split of a task.

    Args:
        task: asks, and scores the answers.
        model: see `Model`.
        split: "train", "val" or "test".
        batches: at most so many batches; None for the whole split.
        progress: called with (batches done, batches in all).
        scoring: the evaluation itself, where it is not the task's usual one.
        piece: see `Reader`.
        watch: see `Reader`.

    Returns:
        "loss" (the task's, per scored target), "tokens" (scored), and the task's other scores.
    """
    asked = task.scoring(split, batches=batches) if scoring is None else scoring
    reader = Reader(model, piece=piece, watch=watch)
    with evaluating(model):
        (scores,) = score([asked], reader, progress)
    return scores


def score(
    scorings: Sequence[Scoring],
    answer: Callable[[Sequence[Ask]], Sequence[Tensor]],
    progress: Progress | None = None,
) -> list[Scores]:
    """Carry out evaluations that ask for as many batches, side by side.

    Args:
        scorings: from `Task.scoring`.
        answer: the next question of every evaluation -> logits for each.
        progress: called with (batches done, batches in all).
    """
    asks = [next(scoring) for scoring in scorings]
    while True:
        found, last = answer(asks), asks[0].done == asks[0].total
        if progress is not None:
            progress(asks[0].done, asks[0].total)
        if last:
            return [_ended(s, logits) for s, logits in zip(scorings, found, strict=True)]
        asks = [s.send(logits) for s, logits in zip(scorings, found, strict=True)]


def _ended(scoring: Scoring, logits: Tensor) -> Scores:
    try:
        scoring.send(logits)
    except StopIteration as end:
        return end.value
    raise AssertionError("an evaluation asked for more than it had said")


class Reader:
    """A model that answers an evaluation, and the state of the stream it is in.

    Args:
        model: see `Model`.
        piece: sequences whose answers are at given positions are read so many tokens at a time,
            the state carried: memory does not grow with their length. None reads them whole.
        watch: called after every call of the model with tokens read of the stream and its state.
    """

    def __init__(
        self, model: Model, *, piece: int | None = None, watch: Watch | None = None
    ) -> None:
        self.model, self.piece, self.watch = model, piece, watch
        self.state: Any = None
        self.device = device_of(model)

    def __call__(self, asks: Sequence[Ask]) -> list[Tensor]:
        """Logits for the one question."""
        (ask,) = asks
        batch = ask.batch.to(self.device)
        if ask.carry:
            return [self._carried(batch, ask)]
        positions = batch.positions
        if positions is None:
            return [self.model(batch.tokens)]
        if self.piece is None or batch.tokens.shape[1] <= self.piece:
            return [self.model(batch.tokens, positions=positions)]
        return [self._in_pieces(batch.tokens, positions, self.piece)]

    def _carried(self, batch: Batch, ask: Ask) -> Tensor:
        if self.state is None or ask.begin:
            self.state, self.read = self.model.start(len(batch.tokens)), 0
        elif ask.fresh is not None and bool(ask.fresh.any()):
            self.state = self.model.restart(self.state, ask.fresh.to(self.device))
        at = {} if batch.positions is None else {"positions": batch.positions}
        return self._next(batch.tokens, **at)

    def _next(self, tokens: Tensor, **given: Any) -> Tensor:
        logits, self.state = self.model(tokens, self.state.detach(), **given)
        self.read += tokens.shape[1]
        if self.watch is not None:
            self.watch(self.read, self.state)
        return logits

    def _in_pieces(self, tokens: Tensor, positions: Tensor, piece: int) -> Tensor:
        """Logits [B, n, L] at positions [B, n] of sequences that are read piece by piece."""
        self.state, self.read = self.model.start(len(tokens)), 0
        found: Tensor | None = None
        for at in range(0, tokens.shape[1], piece):
            part = tokens[:, at : at + piece]
            here = (positions >= at) & (positions < at + piece)
            columns = here.any(0).nonzero().squeeze(-1)
            local = (positions[:, columns] - at).clamp(0, part.shape[1] - 1)
            logits = self._next(part, positions=local)
            if found is None:
                found = logits.new_zeros(*positions.shape, logits.shape[-1])
            found[:, columns] = torch.where(here[:, columns, None], logits, found[:, columns])
        self.state = None
        assert found is not None, "a sequence without tokens"
        return found


class evaluating:
    """Context in which `model` is in eval mode and records no gradients; its mode is restored."""

    def __init__(self, model: Any) -> None:
        self.model = model if isinstance(model, torch.nn.Module) else None
        self.no_grad = torch.no_grad()

    def __enter__(self) -> None:
        if self.model is not None:
            self.was_training = self.model.training
            self.model.eval()
        self.no_grad.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.no_grad.__exit__(*error)
        if self.model is not None:
            self.model.train(self.was_training)


def summed_loss(logits: Tensor, targets: Tensor) -> float:
    """Cross entropy in nats, summed over the scored targets, in fp32 at least."""
    return CROSS_ENTROPY.summed(logits, targets).item()
