"""Speed and memory, each number behind a check of what was computed."""

from playground.bench.cell import Cell, Group, Prepared
from playground.bench.first_compile import FirstCompile, measure_first_compile
from playground.bench.gate import Gate, check_scan
from playground.bench.group import measure_group
from playground.bench.inputs import SCALES, GateScale, Shape, make_problem
from playground.bench.measure import Times, measure, measure_together
from playground.bench.memory import PeakMemory, measure_memory
from playground.bench.model_gate import ModelOracle
from playground.bench.models import ModelBench
from playground.bench.peak import Peak, measure_peak
from playground.bench.row import Cost, Row
from playground.bench.rules import PATHS, RuleWork, flops_of
from playground.bench.run import Progress, run_bench, subjects
from playground.bench.tune import Family, Tuned, every, tune, tune_families
from playground.bench.work import MODES, Mode, forward, forward_backward, work
from playground.bench.write import as_line, stamp

__all__ = [
    "MODES",
    "PATHS",
    "SCALES",
    "Cell",
    "Cost",
    "Family",
    "FirstCompile",
    "Gate",
    "GateScale",
    "Group",
    "Mode",
    "ModelBench",
    "ModelOracle",
    "Peak",
    "PeakMemory",
    "Prepared",
    "Progress",
    "Row",
    "RuleWork",
    "Shape",
    "Times",
    "Tuned",
    "as_line",
    "check_scan",
    "every",
    "flops_of",
    "forward",
    "forward_backward",
    "make_problem",
    "measure",
    "measure_first_compile",
    "measure_group",
    "measure_memory",
    "measure_peak",
    "measure_together",
    "run_bench",
    "stamp",
    "subjects",
    "tune",
    "tune_families",
    "work",
]
