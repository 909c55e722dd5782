"""Answers at the ends of long examples: read in pieces, the state carried, the same scores."""

import numpy as np
import pytest
import torch

from playground import build
from playground.spec import ModelSpec, convert
from playground.spec.tasks import Niah
from playground.tasks import evaluate
from playground.tasks.lengths import Examples, score_lengths
from playground.tasks.niah import NiahTask

MODEL = {
    "dim": 16,
    "depth": 1,
    "block": {"kind": "lmm", "memory": {"kind": "delta", "heads": 2, "conv": 4}},
}


def examples(length: int, first: int, count: int) -> Examples:
    """Example i asks for i % 7 at its last token but one, and for nothing else."""
    tokens = np.zeros((count, length), np.uint8)
    targets = (np.arange(first, first + count) % 7)[:, None]
    tokens[:, -1:] = targets
    positions = np.full((count, 1), length - 2)
    groups = ["even" if i % 2 == 0 else "" for i in range(first, first + count)]
    return Examples(tokens=tokens, positions=positions, targets=targets, groups=groups)


def test_pieces_cover_every_token_once_and_only_the_last_one_is_asked() -> None:
    scoring = score_lengths(examples, {10: 3, 4: 3}, piece=4)
    asks, ask = [], next(scoring)
    try:
        while True:
            asks.append(ask)
            batch = ask.batch
            assert batch.positions is not None
            ask = scoring.send(torch.zeros(*batch.positions.shape, 9))
    except StopIteration:
        pass
    assert [a.batch.tokens.shape[1] for a in asks] == [2, 4, 4, 4]
    assert [a.batch.targets.shape[1] for a in asks] == [0, 0, 1, 1]
    assert [a.carry for a in asks] == [True, True, True, False]
    assert [a.begin for a in asks] == [True, False, False, True]
    assert [(a.done, a.total) for a in asks] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert asks[2].batch.positions is not None
    assert asks[2].batch.positions.tolist() == [[2]] * 3


def test_each_length_and_group_is_counted_and_a_full_last_batch_counts_once() -> None:
    class Knows:
        def start(self, batch: int) -> "Knows":
            return self

        def detach(self) -> "Knows":
            return self

        def __call__(self, tokens, state=None, *, positions):
            logits = torch.full((*positions.shape, 9), -100.0)
            if positions.shape[1]:
                answers = tokens.gather(1, positions + 1)
                # from 3 on it is mistaken
                logits.scatter_(-1, torch.where(answers < 3, answers, 0)[..., None], 0.0)
            return logits if state is None else (logits, self)

    class Task:
        def scoring(self, split: str, *, batches: int | None = None):
            return score_lengths(examples, {6: 70, 300: 70}, batches=batches)

    scores = evaluate(Task(), Knows(), "test")  # type: ignore[arg-type]
    assert scores["tokens"] == 70
    assert scores["solved"] == scores["solved@6"] == scores["solved@300"] == 30 / 70
    right = [i % 7 < 3 for i in range(0, 70, 2)]
    assert scores["solved@6/even"] == pytest.approx(np.mean(right))
    assert evaluate(Task(), Knows(), "test", batches=1)["tokens"] == 50  # type: ignore[arg-type]


def test_pieces_with_a_carried_state_score_as_the_whole_example() -> None:
    spec = Niah(
        template="short", length=100, test_lengths=(100, 400), test_examples=6, loss="answer"
    )
    model = build(convert(ModelSpec, MODEL)).double()
    task = NiahTask(spec)
    streamed = evaluate(task, model, "test")
    made = task._examples("test", 0, 0, 6, 400)
    with torch.no_grad():
        logits = model(made.batch().tokens, positions=made.batch().positions)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), made.batch().targets.flatten())
    assert streamed["loss@400"] == pytest.approx(loss.item(), rel=1e-9)


def test_an_answer_that_is_longer_than_a_piece_is_refused() -> None:
    def early(length: int, first: int, count: int) -> Examples:
        made = examples(length, first, count)
        return Examples(
            tokens=made.tokens,
            positions=made.positions - 5,
            targets=made.targets,
            groups=made.groups,
        )

    scoring = score_lengths(early, {12: 2}, piece=4)
    next(scoring)
    scoring.send(torch.zeros(2, 0, 9))
    with pytest.raises(ValueError, match="before the last 4 of 12"):
        scoring.send(torch.zeros(2, 0, 9))
