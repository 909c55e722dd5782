"""Random numbers addressed by (seed, split, example)."""

import numpy as np
import pytest

from playground.tasks.counter import below, draws, unit


@pytest.mark.parametrize("width", [1, 3, 4, 9])
def test_an_example_does_not_depend_on_where_the_request_starts(width: int) -> None:
    whole = draws("t", 5, "train", 0, 40, width)
    for first, count in [(0, 1), (7, 5), (39, 1)]:
        assert np.array_equal(draws("t", 5, "train", first, count, width), whole[first:][:count])


def test_streams_of_different_seeds_splits_and_tasks_share_no_number() -> None:
    names = [("t", 0, "train"), ("t", 1, "train"), ("t", 0, "val"), ("u", 0, "train")]
    rows = [set(draws(*name, 0, 500, 4).ravel().tolist()) for name in names]
    assert len(set().union(*rows)) == sum(map(len, rows)) == 4 * 500 * 4


def test_a_negative_or_huge_seed_is_a_seed() -> None:
    assert not np.array_equal(draws("t", -1, "val", 0, 4, 4), draws("t", 2**70, "val", 0, 4, 4))


def test_draws_are_spread_evenly() -> None:
    raw = draws("t", 0, "train", 0, 20_000, 4)
    assert abs(unit(raw).mean() - 0.5) < 0.005
    assert unit(raw).min() > 0 and unit(raw).max() < 1
    counts = np.bincount(below(raw, 10).ravel(), minlength=10)
    assert abs(counts / counts.sum() - 0.1).max() < 0.005
