"""Kernels compiled for GPUs that are not here: registers, spills, shared memory, tensor cores.

    python -m benchmarks.aot [--all] [--only chunk_scan ...] [--write docs/results/aot.md]

Without `--all` representatives only; `--only` takes some of the families. The exit status is 1 if a
kernel spills registers, needs more shared memory than a GPU has, or where it should use a GPU's
tensor cores does not.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.aot_cases import CASES, Case

SHARED = {80: 166_912, 90: 232_448, 100: 232_448}  # bytes of one block, by capability
TENSOR_CORES = {80: "mma.sync", 90: "wgmma", 100: "tcgen05.mma"}
FEWEST = 16  # registers of a thread of a kernel that does something
ROWS = 64  # of a tile, from which on the GPU's own products of tiles are expected


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
        if not self.tensor_cores and self.case.rows >= ROWS:
            return f"has no {TENSOR_CORES[self.capability]}"
        return ""


def compiled(case: Case, capability: int) -> Compiled:
    """Compile a case for one GPU.

    Raises:
        RuntimeError: ptxas refuses it.
    """
    names = case.kernel.arg_names
    fixed = {name: case.fixed[name] for name in names if name in case.fixed}
    signature = {name: "constexpr" if name in fixed else case.kind(name) for name in names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, name in enumerate(names)
        if signature[name].startswith("*")
    }
    source = ASTSource(fn=case.kernel, signature=signature, constexprs=fixed, attrs=aligned)
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(
        source, target=target, options={"num_warps": case.warps, "num_stages": case.stages}
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
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    registers = re.search(r"Used (\d+) registers", finished.stderr)
    spills = re.search(r"(\d+) bytes spill stores", finished.stderr)
    assert registers is not None
    assert spills is not None
    return int(registers.group(1)), int(spills.group(1))


Job = tuple[int, int, int, bool]  # family, capability, number of the case; every size or not


def name_of(cases: Any) -> str:
    """The name of a family."""
    return cases.__name__.removesuffix("_cases")


def jobs(every: bool, only: list[str]) -> list[Job]:
    """What there is to compile; a case itself cannot be sent to another process."""
    some = [(i, cases) for i, cases in enumerate(CASES) if not only or name_of(cases) in only]
    families = product(some, SHARED)
    return [
        (family, capability, number, every)
        for (family, cases), capability in families
        for number, _ in enumerate(cases(every=every, capability=capability))
    ]


def done(job: Job) -> tuple[list[str], str]:
    """The cells of a row, and what is wrong."""
    family, capability, number, every = job
    case = list(CASES[family](every=every, capability=capability))[number]
    row = compiled(case, capability)
    cells = (
        case.name,
        case.sizes,
        f"sm_{capability}",
        case.warps,
        row.registers,
        row.spills,
        row.shared,
        "yes" if row.tensor_cores else "no",
        row.problem or "ok",
    )
    return [str(cell) for cell in cells], row.problem


def table(rows: list[list[str]], only: list[str]) -> str:
    """A page of Markdown."""
    which = f" --only {' '.join(only)}" if only else ""
    well = sum(cells[-1] == "ok" for cells in rows)
    lines = [
        "# Kernels compiled ahead of time",
        "",
        f"By `python -m benchmarks.aot --all{which}`, triton {triton.__version__}.",
        f"{well:,} of {len(rows):,} programs are ok. Nothing here was run.",
        "",
        "A kernel is named after its file in `kernels/`. Those of `decay_scan` and `delta_scan`,",
        "which read tokens of 16 bits in place, are used on Hopper (sm_90) alone. Registers are by",
        "triton's own ptxas; the later one that Hopper needs gives some kernels others.",
        "",
        "| kernel | sizes | GPU | warps | registers | spills | shared | tensor cores | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compile and say what came out."""
    parser = argparse.ArgumentParser(description="Kernels compiled for GPUs that are not here.")
    parser.add_argument("--all", action="store_true", help="every size, not representatives")
    names = [name_of(cases) for cases in CASES]
    parser.add_argument("--only", nargs="+", default=[], choices=names, help="some families")
    parser.add_argument("--write", type=Path, help="a file for the table")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    rows, wrong, todo = [], False, jobs(asked.all, asked.only)
    with ProcessPoolExecutor(asked.processes) as pool:
        for cells, problem in pool.map(done, todo):
            rows.append(cells)
            wrong = wrong or bool(problem)
            said = f"{len(rows)}/{len(todo)} {cells[0]}, {cells[1]}, {cells[2]}: {cells[-1]}"
            print(said, file=sys.stderr, flush=True)
    text = table(rows, asked.only)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    else:
        print(text)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
