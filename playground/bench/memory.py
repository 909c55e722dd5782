"""Memory that forward and backward need: the peak of a process that runs them, less one that
does everything else.

Both processes first run a short call, so that compilation and thread pools are not in the
difference, give free memory back to the system, and make the inputs. Then one of the two runs.
"""

import ctypes
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from memory_rules import AbstractGradientRule, AbstractMemoryRule
from memory_rules.testing import Case
from playground.bench.child import in_child
from playground.bench.inputs import Shape, make_problem
from playground.bench.work import forward_backward
from playground.compile import LOWERINGS
from playground.compile.lowering.segments import chunk_length


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Bytes of one forward and backward pass.

    extra: what the pass added to the peak of its process, gradients and outputs included.
    inputs: of q, k and v; gates: of all gates; states: of memory and momentum at every chunk's
        start. All three are counted, not measured.
    """

    extra: int
    inputs: int
    gates: int
    states: int

    @property
    def counted(self) -> int:
        return self.inputs + self.gates + self.states

    @property
    def ratio(self) -> float:
        """extra over inputs, gates and chunk states."""
        return self.extra / self.counted

    @property
    def ratio_with_inputs(self) -> float:
        """The same, with the inputs and gates that were there before counted as needed too."""
        return (self.extra + self.inputs + self.gates) / self.counted


def measure_memory(
    rule: AbstractMemoryRule,
    shape: Shape,
    *,
    lowering: str = "chunked",
    compile: bool = True,
) -> PeakMemory:
    """Peak memory of forward and backward on the CPU, from two child processes.

    Args:
        rule: must be picklable: a class that can be imported.
        shape: of the call.
        lowering: by name.
        compile: whether bodies go through torch.compile.

    Raises:
        OSError: the system has no /proc/self/status.
    """
    peaks = [in_child(_peak, rule, shape, lowering, compile, runs) for runs in (False, True)]
    counts = count_bytes(rule, make_problem(rule, replace(shape, length=1)), shape)
    return PeakMemory(extra=peaks[1] - peaks[0], **counts)


def _peak(rule: AbstractMemoryRule, shape: Shape, lowering: str, compile: bool, runs: bool) -> int:
    """Peak resident bytes after the warm-up, with or without the pass itself."""
    (found,) = (low for low in LOWERINGS if low.name == lowering)
    scan = found.bind(rule, compile)
    short = replace(shape, length=min(shape.length, 4 * tokens_apart(rule)))
    for _ in range(2):
        forward_backward(scan, make_problem(rule, short))()
    run = forward_backward(scan, make_problem(rule, shape))
    give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew from here
    if runs:
        run()
    return status_bytes("VmHWM")


def give_back() -> None:
    """Return freed memory to the system, so that reusing it would be seen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def status_bytes(name: str) -> int:
    """A size in bytes from the kernel's record of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def count_bytes(rule: AbstractMemoryRule, one: Case, shape: Shape) -> dict[str, int]:
    """Bytes of inputs, gates and chunk states of a shape; one: a problem of one token of it."""
    leaves = {n: x.numel() * x.element_size() * shape.length for n, x in one.leaves().items()}
    state = one.state()
    carried = [*state.memory.values(), *state.momentum.values()]
    kept = sum(w.numel() * w.element_size() for w in carried)
    chunks = -(-shape.length // tokens_apart(rule))
    return {
        "inputs": sum(leaves[n] for n in "qkv"),
        "gates": sum(size for n, size in leaves.items() if n.startswith("gates.")),
        "states": kept * chunks,
    }


def tokens_apart(rule: AbstractMemoryRule) -> int:
    """Tokens between the states that the chunked form keeps."""
    return chunk_length(rule) if isinstance(rule, AbstractGradientRule) else 1
