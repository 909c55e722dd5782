"""Candidates: whatever a sampler draws, the child can be built."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import playground as pg
from playground.errors import SpecError
from playground.spec import RangeSpec
from search.space import Space, mended, pattern
from tests.search.test_search import SHORT

pytest.importorskip("optuna", reason="optuna is an extra")

LAYERS = RangeSpec(sequence=("M", "A", "C"), length=6, limit={"A": (1, 2), "M": (2, 6)})


@given(st.lists(st.sampled_from(LAYERS.sequence), min_size=6, max_size=6))
def test_a_mended_pattern_keeps_its_limits_and_changes_no_more_than_it_must(layers: list[str]):
    found = mended(layers, LAYERS)
    counts = Counter(found)
    assert len(found) == 6
    assert all(low <= counts[s] <= high for s, (low, high) in LAYERS.limit.items())
    assert mended(found, LAYERS) == found


def test_a_pattern_is_written_in_runs():
    assert pattern(list("MMAMMM")) == "2M A 3M"


def test_genes_become_values_that_a_person_would_write():
    written = {
        "block.memory.momentum": ("token", "none"),
        "train.optim.lr": RangeSpec(low=1e-4, high=1e-2, log=True),
        "depth": RangeSpec(low=1, high=4),
        "layers.pattern": RangeSpec(sequence=("M", "A"), length=2),
    }
    space = Space(written)
    genes = space.distributions()
    assert set(genes) == {*list(written)[:3], "layers.pattern[0]", "layers.pattern[1]"}
    drawn = {
        "block.memory.momentum": "none",
        "train.optim.lr": 0.00123456,
        "depth": 3,
        "layers.pattern[0]": "M",
        "layers.pattern[1]": "A",
    }
    assert space.values(drawn) == {
        "block.memory.momentum": "none",
        "train.optim.lr": 0.00123,
        "depth": 3,
        "layers.pattern": "M A",
    }
    assert space.size() == float("inf")
    assert Space({k: v for k, v in written.items() if k != "train.optim.lr"}).size() == 2 * 4 * 4


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"low": 1.0}, "high"),
        ({"low": 2.0, "high": 1.0}, "high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "low"),
        ({"sequence": ("M",)}, "length"),
        ({"sequence": ("M", "A"), "length": 2, "limit": {"B": (1, 1)}}, "limit"),
        ({"sequence": ("M", "A"), "length": 2, "limit": {"A": (3, 3)}}, "limit"),
        ({"sequence": ("A",), "length": 4, "limit": {"A": (1, 3)}}, "limit"),
        ({"sequence": ("A", "M"), "length": 4, "limit": {"A": (2, 1)}}, "limit"),
    ],
)
def test_a_range_that_has_no_values_is_refused(fields: dict, path: str):
    with pytest.raises(SpecError) as caught:
        RangeSpec(**fields)
    assert caught.value.path == path


def test_the_names_are_public():
    assert pg.RangeSpec is RangeSpec


def test_two_keys_of_one_field_are_no_space():
    space = {"block.memory.conv": (0, 2), "memory.conv": (3, 4)}
    with pytest.raises(SpecError, match=r"space\.memory\.conv: overlaps 'block.memory.conv'"):
        replace(SHORT, space=space).first()
