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


@pytest.mark.triton_interpret
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is an extra")
@pytest.mark.parametrize(
    ("file", "marks"),
    [
        ("test_chunk_scan.py", "not slow"),
        ("test_laws.py", "not slow and not compile"),
        ("test_deep_chunk.py", "not slow"),
        ("test_deep_laws.py", "not slow"),
        pytest.param("test_deep_chunk.py", "slow", marks=pytest.mark.slow),
        pytest.param("test_deep_laws.py", "slow and not compile", marks=pytest.mark.slow),
        pytest.param("test_laws.py", "slow and not compile", marks=pytest.mark.slow),
    ],
)
def test_all_pass_in_the_interpreter(file: str, marks: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(FOLDER / file)]
    command += ["-m", marks]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
