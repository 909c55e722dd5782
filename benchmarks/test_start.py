"""How fast `playground --help` answers; the bar is 0.3 s, the median of 10 idle runs."""

import subprocess
import sys

import pytest


@pytest.mark.benchmark(group="start")
def test_help(benchmark) -> None:
    command = [sys.executable, "-m", "playground", "--help"]
    done = benchmark.pedantic(
        subprocess.run, args=(command,), kwargs={"capture_output": True}, rounds=10, warmup_rounds=1
    )
    assert done.returncode == 0
