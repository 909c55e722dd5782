"""Compiled programs: C++ to a library, kept under what it was made from, and its one call."""

import ctypes
import hashlib
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor.runtime.cache_dir_utils import cache_dir

from playground.compile.toolchain import compiler_command
from playground.errors import LoweringError

HERE = Path(__file__).parent
_SAID = ("vendor_id", "flags", "Features", "model name")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fopenmp", "-ffp-contract=fast")
FLAGS += ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-w")
TYPES = {torch.float32: "float", torch.float64: "double"}


class Program:
    """A body for many sequences and heads: `program(runs)` does them all, run after run.

    Args:
        source: from `emit`.
    """

    def __init__(self, source: str) -> None:
        self._run = ctypes.CDLL(str(library(source))).run

    def __call__(self, runs: Sequence[Sequence[Tensor]]) -> None:
        """runs: for each, inputs then outputs, [B, H, ...], all with the same strides."""
        first = runs[0]
        strides = [s for t in first for s in t.stride()[:2]]
        table = [t.data_ptr() for tensors in runs for t in tensors]
        batch, heads = first[0].shape[:2]
        self._run(
            ctypes.c_long(len(runs)),
            ctypes.c_long(batch),
            ctypes.c_long(heads),
            ctypes.c_int(min(torch.get_num_threads(), batch * heads)),
            ctypes.c_int(len(first)),
            (ctypes.c_int64 * len(table))(*table),
            (ctypes.c_int64 * len(strides))(*strides),
        )


def library(source: str) -> Path:
    """The compiled library of a source; made once for a compiler, a processor and this version.

    Raises:
        LoweringError: there is no C++ compiler, or it refuses the source.
    """
    folder = Path(cache_dir()) / "programs"
    headers = [
        (HERE / name).read_text(encoding="utf-8") for name in ("prelude.h", "rows.h", "run.h")
    ]
    key = "\0".join([source, *headers, *FLAGS, compiler(), processor()])
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file, made = Path(place) / "program.cpp", Path(place) / "program.so"
        file.write_text(source, encoding="utf-8")
        command = [*compiler_command(), *FLAGS, f"-I{HERE}", str(file), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr[-2000:]
            raise LoweringError("compile", f"{command[0]} refuses a program: {said}")
        made.replace(path)  # a killed process leaves no half of a library
    return path


@cache
def compiler() -> str:
    """Which compiler this is."""
    command = [*compiler_command(), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def processor() -> str:
    """What the compiler's -march=native looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({n for n in lines if n.startswith(_SAID)}))
