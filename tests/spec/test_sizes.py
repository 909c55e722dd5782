"""Sizes that nobody could run are refused at once, with what would do."""

from pathlib import Path
from typing import Any

import pytest

import playground as pg
from playground.errors import SpecError

RUN = """
kind: run
model: {vocab: 8192, dim: 32, depth: 1, block: {kind: mac, memory: {kind: titans}, segment_len: 64}}
task: {kind: mqar, pairs: 2, length: 16}
train: {steps: 1}
"""
STACK = """
kind: model
vocab: 64
dim: 32
depth: 2
layers: {pattern: 99999999999M, M: {kind: lmm, memory: {kind: delta}}}
"""

CASES = [  # a key, a value, what the error says of it, and what to write
    ("model.block.memory.anchor", "passes:999999999999", "passes:999999999999", "passes:64"),
    ("model.block.memory.depth", 1_000_000, "1000000", "1 to 64"),
    ("model.block.memory.expand", 1e300, "1e+300", "to 256"),
    ("model.block.memory.expand", 1e-300, "1e-300", "0.00390625 to"),
    ("model.block.memory.conv", 100_000_000, "100000000", "0 (none) to 1024"),
    ("model.block.feedforward.expand", 1e9, "1000000000.0", "to 256"),
    ("train.batch", 99_999_999_999_999, "99,999,999,999,999", "accumulate"),
    ("model.block.segment_len", 40, "not a multiple", "Write 48"),
]


@pytest.mark.parametrize(("key", "value", "problem", "fix"), CASES, ids=str)
def test_a_size_is_refused_with_what_would_do(
    tmp_path: Path, key: str, value: Any, problem: str, fix: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(RUN)
    pg.load(file)
    with pytest.raises(SpecError) as caught:
        pg.load(file, f"{key}={value}")
    assert key in str(caught.value)
    assert problem in str(caught.value)
    assert fix in str(caught.value)


def test_a_pattern_of_more_layers_than_can_be_built_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(STACK)
    with pytest.raises(SpecError, match="more layers than can be built") as caught:
        pg.load(file)
    assert "4,096" in str(caught.value)
