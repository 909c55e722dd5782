"""How long the first call takes where nothing has been compiled, and whether a graph broke."""

import os
import tempfile
import time
from dataclasses import dataclass

import torch

from memory_rules import AbstractMemoryRule
from playground.bench.child import in_child
from playground.bench.inputs import Shape, make_problem
from playground.bench.work import forward, forward_backward
from playground.compile import LOWERINGS


@dataclass(frozen=True, kw_only=True)
class FirstCompile:
    """Seconds of the first forward and the first forward and backward, less those of a later one.

    graph_breaks: counted by torch in that process; graphs: that it made.
    """

    forward_s: float
    backward_s: float
    graph_breaks: int
    graphs: int

    @property
    def total_s(self) -> float:
        return self.forward_s + self.backward_s


def measure_first_compile(
    rule: AbstractMemoryRule, shape: Shape, *, lowering: str = "chunked"
) -> FirstCompile:
    """Compile in a fresh process with empty cache folders; rule: must be picklable."""
    with tempfile.TemporaryDirectory() as folder:
        return in_child(_first, rule, shape, lowering, folder)


def _first(rule: AbstractMemoryRule, shape: Shape, lowering: str, folder: str) -> FirstCompile:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    os.environ["TRITON_CACHE_DIR"] = os.path.join(folder, "triton")  # noqa: PTH118
    (found,) = (low for low in LOWERINGS if low.name == lowering)
    scan, case = found.bind(rule, True), make_problem(rule, shape)
    seconds = []
    for function in (forward(scan, case), forward_backward(scan, case)):
        first, later = _seconds(function), _seconds(function)
        seconds.append(first - later)
    counters = torch._dynamo.utils.counters
    return FirstCompile(
        forward_s=seconds[0],
        backward_s=seconds[1],
        graph_breaks=sum(counters["graph_break"].values()),
        graphs=counters["stats"]["unique_graphs"],
    )


def _seconds(function) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin
