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
from dataclasses import dataclass
from itertools import product
from pathlib import Path

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
            row.case.name,
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
    for cases, capability in product(CASES, SHARED):
        for case in cases(every=asked.all, capability=capability):
            rows.append(compiled(case, capability))
            line = f"{case.name}, {case.sizes}, sm_{capability}: {rows[-1].problem or 'ok'}"
            print(line, file=sys.stderr, flush=True)
    text = table(rows)
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")
    else:
        print(text)
    return int(any(row.problem for row in rows))


if __name__ == "__main__":
    sys.exit(main())
