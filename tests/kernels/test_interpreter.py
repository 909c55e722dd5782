"""Kernels in Triton's interpreter, on the CPU.

The tests lie in `interpreted/` and run in a process of their own: the variable that switches the
interpreter on is read when triton is imported.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreted"
SLOW = (
    "TestLinearTitans",
    "TestEveryRule",
    "TestChoicesOfLinearTitans",
)  # of the laws; each in a process of its own


@pytest.mark.triton_interpret
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is an extra")
@pytest.mark.parametrize(
    ("files", "marks"),
    [
        ("chunk_scan decode short_conv compiled", "not slow"),
        ("gate_filter unit_solve channel_filter weighted_scan fullgraph", "not slow"),
        ("laws", "not slow and not compile"),
        ("deep_chunk deep_laws", "not slow"),
        pytest.param("deep_chunk deep_laws", "slow and not compile", marks=pytest.mark.slow),
        pytest.param("decode", "slow", marks=pytest.mark.slow),
        *(
            pytest.param(f"laws -k {name}", "slow and not compile", marks=pytest.mark.slow)
            for name in SLOW
        ),
    ],
)
def test_all_pass_in_the_interpreter(files: str, marks: str) -> None:
    names, _, chosen = files.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", marks]
    command += [str(FOLDER / f"test_{name}.py") for name in names.split()]
    command += ["-k", chosen] if chosen else []
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
