"""What `playground bench specs/benches/paths.yaml` times, under pytest-benchmark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from playground.bench import Group, subjects
from playground.spec import BenchSpec, load

SPEC = load(Path(__file__).parent.parent / "specs/benches/paths.yaml")
assert isinstance(SPEC, BenchSpec)
GROUPS = [group for _, groups in subjects(SPEC, "cpu") for group in groups]


@pytest.mark.parametrize("path", SPEC.paths)
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_path(group: Group, path: str, take_cell: Callable[..., None]) -> None:
    take_cell(group, path)
