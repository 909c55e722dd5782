"""Kernels in Triton's interpreter, on the CPU.

The tests lie in `interpreted/` and run in a process of their own: the variable that switches the
interpreter on is read when triton is imported. The fast ones run side by side.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreted"
FAST = (
    "laws deep_laws token_scans",
    "deep_chunk chunk_scan decode short_conv compiled gate_filter unit_solve channel_filter "
    "weighted_scan fullgraph",
)
SLOW = (
    "laws -k TestLinearTitans",
    "laws -k TestEveryRule",
    "laws -k TestChoicesOfLinearTitans",
    "deep_chunk deep_laws",
    "decode compiled",
)
Running = subprocess.Popen[str]

pytestmark = [
    pytest.mark.triton_interpret,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is an extra"),
]


def start(files: str, marks: str) -> Running:
    """A process that runs files, `-k` and a choice behind them."""
    names, _, chosen = files.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", marks]
    command += [str(FOLDER / f"test_{name}.py") for name in names.split()]
    command += ["-k", chosen] if chosen else []
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    given = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, **given)


def check(running: Running) -> None:
    """Wait for a process; all its tests have passed."""
    text, _ = running.communicate(timeout=1800)
    assert running.returncode == 0, text[-8000:]
    assert " passed" in text


@pytest.fixture(scope="module")
def side_by_side() -> Iterator[dict[str, Running]]:
    found = {files: start(files, "not slow and not compile") for files in FAST}
    yield found
    for process in found.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("files", FAST)
def test_all_pass_in_the_interpreter(files: str, side_by_side: dict[str, Running]) -> None:
    check(side_by_side[files])


@pytest.mark.slow
@pytest.mark.parametrize("files", SLOW)
def test_the_slow_ones_pass_too(files: str) -> None:
    check(start(files, "slow and not compile"))
