"""Kernels compiled for three GPUs that need not be here."""

import importlib.util
import subprocess
import sys

import pytest


@pytest.mark.aot
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is an extra")
def test_representatives_fit_and_use_tensor_cores() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.aot"],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count("| ok |") >= 3 * 7
