"""Word problems of groups: the table is the group, and the oracle is perfect at every length."""

import json
import math

import numpy as np
import pytest
import torch

from playground.errors import SpecError
from playground.spec.tasks import StateTracking
from playground.spec.tasks.state_tracking import ORDERS
from playground.tasks import evaluate, make_task
from playground.tasks.state_tracking import Oracle, products


@pytest.mark.parametrize("group", ORDERS)
def test_the_table_is_a_group_with_identity_0(group: str) -> None:
    table = products(group)
    n = ORDERS[group]
    assert table.shape == (n, n)
    assert (table[0] == np.arange(n)).all()
    assert (table[:, 0] == np.arange(n)).all()
    assert all(len(set(row)) == n for row in table.tolist())  # so every element has an inverse
    a, b, c = np.random.default_rng(0).integers(n, size=(3, 200))
    assert (table[table[a, b], c] == table[a, table[b, c]]).all()
    commutes = (table == table.T).all()
    assert commutes == (group == "parity")


@pytest.mark.parametrize("group", ORDERS)
def test_the_oracle_solves_every_split_and_length(group: str) -> None:
    spec = StateTracking(group=group, length=7, test_lengths=(20, 3), test_examples=60)  # type: ignore[arg-type]
    for split in ("train", "val", "test"):
        scores = evaluate(make_task(spec), Oracle(spec), split)
        names = {name for name in scores if name.startswith("accuracy")}
        suite = {"accuracy@20", "accuracy@3", "accuracy@suite"} if split == "test" else set()
        assert names == {"accuracy"} | suite
        assert all(scores[name] == 1.0 for name in names)
        assert scores["tokens"] == 60 * (30 if split == "test" else 7)


def test_parity_is_the_sum_of_the_bits() -> None:
    batch = make_task(StateTracking(length=50)).batch("train", 0, 0, 30)
    assert torch.equal(batch.targets, batch.tokens.cumsum(1) % 2)


def test_an_example_does_not_depend_on_the_batch_size() -> None:
    task = make_task(StateTracking(group="s3"))
    whole = task.batch("train", 7, 0, 24)
    parts = [task.batch("train", 7, i, 3) for i in range(8)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_seeds_and_splits_share_no_example() -> None:
    task = make_task(StateTracking(group="s3"))
    rows = [
        {tuple(row) for row in task.batch(split, seed, 0, 500).tokens.tolist()}
        for split, seed in [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    ]
    assert len(set().union(*rows)) == sum(map(len, rows)) == 2000


@pytest.mark.parametrize("group", ORDERS)
def test_the_floor_is_an_even_guess_and_products_are_even(group: str) -> None:
    spec = StateTracking(group=group, test_examples=300)  # type: ignore[arg-type]
    task = make_task(spec)
    batch = task.batch("test", 0, 0, 2000)
    counts = np.bincount(batch.targets.flatten().numpy(), minlength=task.vocab)
    assert abs(counts / counts.mean() - 1).max() < 0.25
    scores = evaluate(task, lambda tokens: torch.zeros(*tokens.shape, task.vocab), "test")  # type: ignore[arg-type]
    assert task.floors() == {"any_element": math.log(ORDERS[group])}
    assert scores["loss"] == pytest.approx(math.log(ORDERS[group]), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(1 / ORDERS[group], abs=0.02)


def test_facts_and_errors() -> None:
    facts = make_task(StateTracking(group="s5", test_lengths=(64,))).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["chance"] == 1 / 120
    with pytest.raises(SpecError, match="test_lengths"):
        StateTracking(test_lengths=(0,))
