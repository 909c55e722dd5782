"""Speed and memory, each number behind a check of what was computed."""

from playground.bench.first_compile import FirstCompile, measure_first_compile
from playground.bench.gate import Gate, check_scan
from playground.bench.inputs import SCALES, GateScale, Shape, make_problem
from playground.bench.matrix import flops_of, measure_matrix, measure_row
from playground.bench.measure import Times, measure, measure_together
from playground.bench.memory import PeakMemory, measure_memory
from playground.bench.peak import Peak, measure_peak
from playground.bench.row import Row
from playground.bench.work import MODES, Mode, forward, forward_backward, work
from playground.bench.write import as_json, as_markdown, stamp

__all__ = [
    "MODES",
    "SCALES",
    "FirstCompile",
    "Gate",
    "GateScale",
    "Mode",
    "Peak",
    "PeakMemory",
    "Row",
    "Shape",
    "Times",
    "as_json",
    "as_markdown",
    "check_scan",
    "flops_of",
    "forward",
    "forward_backward",
    "make_problem",
    "measure",
    "measure_first_compile",
    "measure_matrix",
    "measure_memory",
    "measure_peak",
    "measure_row",
    "measure_together",
    "stamp",
    "work",
]
