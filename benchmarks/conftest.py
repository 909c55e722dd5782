"""Benchmarks under pytest: `python -m pytest benchmarks`, and `-k titans` for a part of them.

Times are taken by pytest-benchmark over the functions that `playground bench` times; rows that are
compared stand in one group. Before each time the gate is asked, and a red one fails the test.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.bench import Group
from playground.compile.process import prepare_process
from playground.errors import LoweringError

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # from a checkout, not installed

THREADS, WARMUP, REPEATS = 2, 2, 10


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Files named bench_*.py are collected from this folder."""
    named = file_path.suffix == ".py" and file_path.name.startswith("bench_")
    if named and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session", autouse=True)
def threads() -> int:
    """The same number of threads for everything that is compared; denormals are flushed."""
    torch.set_num_threads(THREADS)
    prepare_process()
    return THREADS


@pytest.fixture
def take(benchmark: Any) -> Callable[..., None]:
    """take(function, group=..., tokens=..., **facts): time it among its group."""

    def run(function: Callable[[], object], *, group: str, tokens: int, **facts: object) -> None:
        benchmark.group = group
        benchmark.pedantic(function, rounds=REPEATS, warmup_rounds=WARMUP, iterations=1)
        if benchmark.stats is None:  # --benchmark-disable: run once, not timed
            return
        rate = round(tokens / benchmark.stats.stats.median)
        benchmark.extra_info.update({"tokens_per_s": rate, **facts})

    return run


@pytest.fixture
def take_cell(take: Callable[..., None]) -> Callable[[Group, str], None]:
    """take_cell(group, path): time a cell of a bench, if it runs and its gate is green."""

    def run(group: Group, path: str) -> None:
        (cell,) = (cell for cell in group.cells if cell.path == path)
        if cell.refused:
            pytest.skip(f"{path}: {cell.refused}")
        try:
            prepared = cell.prepare()
        except LoweringError as error:
            pytest.skip(f"{path}: {error}")
        gate = None if prepared.check is None else prepared.check()
        assert gate is None or gate.green, f"no time for a wrong result: {gate and gate.reason}"
        error = None if gate is None else gate.relative
        tokens = group.steps * group.tokens
        take(prepared.run, group=str(group), tokens=tokens, path=path, error=error)

    return run
