"""Kill -9 at random moments: the same command completes the sweep, and its table is the same."""

import sys
from pathlib import Path

import pytest

from tests.search.killing import Command, assert_same, children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


def test_a_sweep_that_is_killed_ends_in_the_same_table(tmp_path: Path, whole: Command):
    command = Command(folder=tmp_path / "out")
    command.disturbed(3, 1, children)
    assert command.kills.total() == 3
    assert_same(command, whole)


@pytest.mark.slow
def test_thirty_kills_of_workers_drivers_and_whole_trees(tmp_path: Path, whole: Command):
    spent = 0
    for seed in range(100):
        command = Command(folder=tmp_path / str(seed))
        command.disturbed(30 - spent, seed, children)
        spent += command.kills.total()
        assert_same(command, whole)
        if spent >= 30:
            return
    raise AssertionError(f"{spent} kills only")
