"""Kill -9 at random moments: the same command completes the sweep, and its table is the same."""

import sys
from pathlib import Path

import pytest

from tests.search.killing import Command, assert_same, children, kill_often

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


def test_a_sweep_that_is_killed_ends_in_the_same_table(tmp_path: Path, whole: Command):
    command = Command(folder=tmp_path / "out")
    command.disturbed(3, 1, children)
    assert command.kills.total() == 3
    assert_same(command, whole)


@pytest.mark.slow
def test_thirty_kills_of_workers_drivers_and_whole_trees(tmp_path: Path, whole: Command):
    kill_often(30, tmp_path, whole, children)
