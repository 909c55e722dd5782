"""Kernels compiled for GPUs that are not here: registers, spills, shared memory, tensor cores.

    python -m benchmarks.aot [--all] [--write docs/results/aot.md]

Without `--all` representatives only. The exit status is 1 if a kernel spills registers, needs more
shared memory than a GPU has, or where it should use a GPU's tensor cores does not.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels import chunk_scan_kernels
from kernels.launch import STAGES, kind_of, tile, value_block, warps

SHARED = {80: 166_912, 90: 232_448, 100: 232_448}  # bytes of one block, by capability
TENSOR_CORES = {80: "mma.sync", 90: "wgmma", 100: "tcgen05.mma"}
FEWEST = 16  # registers of a thread of a kernel that does something
ROWS = 64  # of a tile, from which on the GPU's own products of tiles are expected


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kernel at fixed sizes.

    Attributes:
        kernel: its name.
        fixed: what it is told at compile time; None for a tensor that is not there.
    """

    kernel: str
    sizes: str
    fixed: Mapping[str, Any]

    @property
    def warps(self) -> int:
        """Of a program."""
        return warps(self.fixed["K"])


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What became of a case on one GPU."""

    case: Case
    capability: int
    registers: int
    spills: int  # bytes stored
    shared: int
    tensor_cores: bool

    @property
    def problem(self) -> str:
        """What is wrong with it; "" for nothing."""
        if self.registers < FEWEST:
            return "is compiled to nothing"
        if self.spills:
            return f"spills {self.spills} bytes"
        if self.shared > SHARED[self.capability]:
            return f"needs {self.shared} bytes of shared memory"
        rows = min(self.case.fixed["BLOCK_C"], self.case.fixed["BLOCK_K"])
        if not self.tensor_cores and rows >= ROWS:
            return f"has no {TENSOR_CORES[self.capability]}"
        return ""


def cases(*, every: bool) -> Iterator[Case]:
    """The kernels of `chunk_scan` at the sizes that rules use."""
    widths = (16, 32, 64, 128) if every else (64,)
    factors = (torch.bfloat16, torch.float32) if every else (torch.bfloat16,)
    both = (False, True) if every else (True,)
    for width, dtype, momentum, solved in product(widths, factors, both, both):
        sizes = {"C": 64, "K": width, "V": width, "BLOCK_C": 64, "BLOCK_K": tile(width)}
        types = {"T": kind_of(dtype), "ACC": kind_of(torch.float32), "MOMENTUM": momentum}
        named = f"K = V = {width}, {str(dtype).removeprefix('torch.')}"
        named += ", momentum" if momentum else ""
        absent = {} if momentum else dict.fromkeys(("c_ptr", "e_ptr", "g_c_ptr", "g_e_ptr"))
        for kernel in ("states_fwd", "states_bwd", "writes_bwd"):
            asked = {} if solved else dict.fromkeys(("w_ptr", "g_w_ptr"))
            fixed = sizes | types | absent | asked | {"SOLVED": solved}
            more = ", class B" if solved else ", class A"
            yield Case(kernel=kernel, sizes=named + more, fixed=fixed)
        if solved:
            for kernel in ("reads_fwd", "signals_bwd", "scores_bwd", "reads_bwd"):
                fixed = sizes | types | absent
                yield Case(kernel=kernel, sizes=named, fixed=fixed)


def compiled(case: Case, capability: int) -> Compiled:
    """Compile a case for one GPU.

    Raises:
        RuntimeError: ptxas refuses it.
    """
    function = getattr(chunk_scan_kernels, case.kernel)
    names = function.arg_names
    told = {**case.fixed, "BLOCK_V": value_block(case.kernel, case.fixed["V"], capability // 10)}
    fixed = {name: told[name] for name in names if name in told}
    signature = {
        name: "constexpr" if name in fixed else "*fp32" if name.endswith("_ptr") else "i32"
        for name in names
    }
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(names)
        if signature[name].startswith("*")
    }
    source = ASTSource(fn=function, signature=signature, constexprs=fixed, attrs=aligned)
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(
        source, target=target, options={"num_warps": case.warps, "num_stages": STAGES}
    )
    ptx = made.asm["ptx"]
    registers, spills = assembled(ptx)
    return Compiled(
        case=case,
        capability=capability,
        registers=registers,
        spills=spills,
        shared=made.metadata.shared,
        tensor_cores=TENSOR_CORES[capability] in ptx,
    )


def assembled(ptx: str) -> tuple[int, int]:
    """Registers of a thread, and bytes that it spills.

    Raises:
        RuntimeError: ptxas refuses the code.
    """
    found = re.search(r"\.target (sm_\w+)", ptx)
    name = "sm_90" if found is None else found.group(1)
    blackwell = name.startswith(("sm_10", "sm_12"))
    folder = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    program = folder / ("ptxas-blackwell" if blackwell else "ptxas")
    program = program if program.exists() else folder / "ptxas"
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "kernel.ptx"
        file.write_text(ptx, encoding="utf-8")
        command = [str(program), "-v", f"--gpu-name={name}", str(file), "-o", f"{place}/kernel"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    registers = re.search(r"Used (\d+) registers", done.stderr)
    spills = re.search(r"(\d+) bytes spill stores", done.stderr)
    assert registers is not None
    assert spills is not None
    return int(registers.group(1)), int(spills.group(1))


def table(rows: list[Compiled]) -> str:
    """A page of Markdown."""
    lines = [
        "# Kernels compiled ahead of time",
        "",
        f"By `python -m benchmarks.aot --all`, triton {triton.__version__}. Nothing here was run.",
        "",
        "| kernel | sizes | GPU | warps | registers | spills | shared | tensor cores | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row.case.kernel,
            row.case.sizes,
            f"sm_{row.capability}",
            row.case.warps,
            row.registers,
            row.spills,
            row.shared,
            "yes" if row.tensor_cores else "no",
            row.problem or "ok",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compile and say what came out."""
    parser = argparse.ArgumentParser(description="Kernels compiled for GPUs that are not here.")
    parser.add_argument("--all", action="store_true", help="every size, not representatives")
    parser.add_argument("--write", type=Path, help="a file for the table")
    asked = parser.parse_args()
    rows = []
    for case, capability in product(cases(every=asked.all), SHARED):
        rows.append(compiled(case, capability))
        last = rows[-1]
        line = f"{last.case.kernel}, {last.case.sizes}, sm_{capability}: {last.problem or 'ok'}"
        print(line, file=sys.stderr, flush=True)
    text = table(rows)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    else:
        print(text)
    return int(any(row.problem for row in rows))


if __name__ == "__main__":
    sys.exit(main())
