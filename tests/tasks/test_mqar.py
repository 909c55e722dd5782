"""MQAR: examples are what the paper says, splits do not overlap, and the oracle is perfect."""

import json
import math

import numpy as np
import pytest
import torch

from playground.errors import SpecError
from playground.spec.tasks import Mqar
from playground.tasks import MqarTask, evaluate
from playground.tasks.mqar import Oracle

FILLERS = ("reserved", "random", "zero")
SMALL = {"vocab": 40, "length": 40, "pairs": 8}


def make(**fields: object) -> MqarTask:
    return MqarTask(Mqar(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("fillers", FILLERS)
@pytest.mark.parametrize("size", [{}, SMALL, {"length": 17, "pairs": 4, "vocab": 20}])
def test_the_oracle_solves_every_split(fillers: str, size: dict[str, int]) -> None:
    task = make(fillers=fillers, **size)
    for split in ("train", "val", "test"):
        scores = evaluate(task, Oracle(task.spec), split)
        assert scores["accuracy"] == scores["solved"] == 1.0
        assert scores["loss"] < 1e-6
        assert scores["tokens"] == task.spec.test_examples * task.spec.pairs


@pytest.mark.parametrize("fillers", FILLERS)
def test_pairs_come_first_and_every_key_is_asked_once(fillers: str) -> None:
    task = make(fillers=fillers, **SMALL)
    batch = task.batch("train", 0, 0, 200)
    assert batch.positions is not None
    for tokens, targets, positions in zip(
        batch.tokens.tolist(), batch.targets.tolist(), batch.positions.tolist(), strict=True
    ):
        keys, values = tokens[0:16:2], tokens[1:16:2]
        assert len(set(keys)) == len(set(values)) == 8
        assert all(1 <= key < 20 <= value < 40 for key, value in zip(keys, values, strict=True))
        assert positions == sorted(set(positions))
        assert all(at >= 16 and at % 2 == 0 for at in positions)
        assert sorted(tokens[at] for at in positions) == sorted(keys)
        answers = dict(zip(keys, values, strict=True))
        assert [answers[tokens[at]] for at in positions] == targets


@pytest.mark.parametrize("fillers", FILLERS)
def test_fillers_never_are_a_key_or_value_of_the_example(fillers: str) -> None:
    task = make(fillers=fillers, **SMALL)
    batch = task.batch("train", 3, 0, 300)
    assert batch.positions is not None
    seen: set[int] = set()
    for tokens, positions in zip(batch.tokens.tolist(), batch.positions.tolist(), strict=True):
        rest = [token for at, token in enumerate(tokens) if at >= 16 and at not in positions]
        assert not set(rest) & set(tokens[:16])
        seen.update(rest)
    expected = {"zero": {0}, "reserved": set(range(30, 40)), "random": set(range(40))}
    assert seen == expected[fillers]


def test_keys_values_and_fillers_are_drawn_evenly() -> None:
    task = make(**SMALL)
    batch = task.batch("train", 0, 0, 4000)
    for start, first in [(0, 1), (1, 20)]:
        counts = np.bincount((batch.tokens[:, start:16:2] - first).flatten().numpy())
        assert abs(counts / counts.mean() - 1).max() < 0.1


def test_queries_come_early_as_the_power_law_says() -> None:
    task = make()
    positions = task.batch("train", 0, 0, 4000).positions
    assert positions is not None
    gaps = (positions - 8) // 2
    frequency = np.bincount(gaps.flatten().numpy(), minlength=28) / len(gaps)
    assert np.all(np.diff(frequency[[0, 1, 3, 7, 27]]) < 0)
    # The first of four draws without repetition falls on gap 0 with probability 1 / sum(1 / g).
    harmonic = sum((g + 1) ** -0.99 for g in range(28))
    assert frequency[0] > 1 / harmonic


def test_an_example_does_not_depend_on_the_batch_size() -> None:
    task = make(**SMALL)
    whole = task.batch("train", 7, 0, 24)
    parts = [task.batch("train", 7, i, 3) for i in range(8)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_seeds_and_splits_share_no_example() -> None:
    task = make()
    rows = [
        {tuple(row) for row in task.batch(split, seed, 0, 2000).tokens.tolist()}
        for split, seed in [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    ]
    assert len(set().union(*rows)) == sum(map(len, rows)) == 8000


def test_evaluation_reads_the_same_examples_every_time_and_counts_progress() -> None:
    task, seen = make(test_examples=600), []
    scores = evaluate(task, Oracle(task.spec), "val", progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert scores["tokens"] == 2400
    assert evaluate(task, Oracle(task.spec), "val", batches=1)["tokens"] == 1000


def test_a_guess_among_the_values_in_context_scores_its_floor() -> None:
    task = make(**SMALL)

    class Guess(Oracle):
        def __call__(self, tokens: torch.Tensor, *, positions: torch.Tensor) -> torch.Tensor:
            logits = torch.full((*positions.shape, self.spec.vocab), -100.0)
            values = tokens[:, 1:16:2][:, None, :].expand(-1, positions.shape[1], -1)
            return logits.scatter_(-1, values, 0.0)

    scores = evaluate(task, Guess(task.spec), "test")
    assert scores["loss"] == pytest.approx(task.floors()["value_in_context"], rel=1e-5)
    assert task.floors()["any_value"] == pytest.approx(math.log(20))


def test_the_spec_decides_the_identity_of_the_data() -> None:
    shas = {make(fillers=fillers).data_sha() for fillers in FILLERS} | {make(**SMALL).data_sha()}
    assert len(shas) == 4
    facts = make().describe()
    assert json.loads(json.dumps(facts)) == facts


MIXED = {
    "vocab": 256,
    "length": 32,
    "pairs": 8,
    "mix": ((16, 2, 0.5), (32, 8, 0.5)),
    "mix_block": 4,
    "curriculum": ((12, 1, 10), (16, 2, 6)),
    "suite": ((16, 2), (64, 16)),
    "test_examples": 40,
}


def test_a_mixed_example_does_not_depend_on_the_batch_it_is_in() -> None:
    task = make(**MIXED)
    whole = task.batch("train", 3, 0, 48)
    assert whole.positions is not None
    for size in (1, 5, 16):
        parts = [task.batch("train", 3, i, size) for i in range(48 // size)]
        rows = [row for part in parts for row in zip(part.tokens, part.targets, strict=True)]
        for i, (tokens, targets) in enumerate(rows):
            n, count = task._size_of(i)
            assert torch.equal(tokens[:n], whole.tokens[i, :n])
            assert torch.equal(targets[:count], whole.targets[i, :count])
            assert not tokens[n:].any()
            assert (targets[count:] == -100).all()


def test_training_begins_with_the_curriculum_and_goes_on_with_the_mix() -> None:
    task = make(**MIXED)
    sizes = [task._size_of(i) for i in range(4000)]
    assert sizes[:16] == [(12, 1)] * 10 + [(16, 2)] * 6
    rest = sizes[16:]
    assert all(len(set(rest[i : i + 4])) == 1 for i in range(0, len(rest), 4))
    assert rest.count((32, 8)) / len(rest) == pytest.approx(0.5, abs=0.01)
    assert task.batch("train", 0, 0, 10).tokens.shape == (10, 12)
    assert task.batch("train", 0, 4, 4).tokens.shape[1] in (16, 32)


def test_the_oracle_solves_mixed_training_and_the_suite() -> None:
    task = make(**MIXED)
    batch = task.batch("train", 0, 0, 64)
    said = Oracle(task.spec)(batch.tokens, positions=batch.positions).argmax(-1)
    asked = batch.targets != -100
    assert torch.equal(said[asked], batch.targets[asked])
    seen: list[tuple[int, int]] = []
    scores = evaluate(task, Oracle(task.spec), "test", progress=lambda *at: seen.append(at))
    names = {name for name in scores if name.startswith("accuracy")}
    assert names == {"accuracy", "accuracy@16x2", "accuracy@64x16", "accuracy@suite"}
    assert all(scores[name] == 1.0 for name in names)
    assert scores["tokens"] == 40 * (8 + 2 + 16)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "accuracy@16x2" not in evaluate(task, Oracle(task.spec), "val")


def test_a_size_that_does_not_fit_names_its_place() -> None:
    for name, parts in {
        "mix": ((16, 2, 0.5), (16, 5, 0.5)),
        "curriculum": ((16, 2, -4),),
        "suite": ((16, 5),),
    }.items():
        with pytest.raises(SpecError, match=f"{name}.{len(parts) - 1}"):
            Mqar(**{name: parts})  # type: ignore[arg-type]
