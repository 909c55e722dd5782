"""The same sweep on a cluster of two nodes, its actors killed too."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.killing import Command, assert_same, descendants, kill_often

ray = pytest.importorskip("ray", reason="ray is an extra")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of ray's own processes
]


@pytest.fixture(scope="module")
def words() -> Iterator[list[str]]:
    """What makes the command use a cluster of two nodes with a CPU each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield ["run.engine=ray", f"run.address={nodes.address}"]
    nodes.shutdown()


def workers(driver: int) -> list[int]:
    """The actors of this test's cluster: there may be others on the machine."""
    return descendants(os.getpid(), "ray::_Host")


def test_a_cluster_gives_what_this_machine_gives(tmp_path: Path, whole: Command, words: list[str]):
    command = Command(folder=tmp_path / "out", words=words)
    command.undisturbed()
    assert_same(command, whole)


def test_thirty_kills_of_actors_drivers_and_both_lose_nothing(
    tmp_path: Path, whole: Command, words: list[str]
):
    kill_often(30, tmp_path, whole, workers, words)
