"""What is compiled ahead of time: a file per family of kernels; each gives its cases for a GPU."""

from benchmarks.aot_cases.case import Case
from benchmarks.aot_cases.channel_gates import channel_gates_cases
from benchmarks.aot_cases.chunk_scan import chunk_scan_cases
from benchmarks.aot_cases.decode import decode_cases
from benchmarks.aot_cases.deep_chunk import deep_chunk_cases
from benchmarks.aot_cases.gate_filter import gate_filter_cases
from benchmarks.aot_cases.short_conv import short_conv_cases
from benchmarks.aot_cases.token_scans import token_scans_cases
from benchmarks.aot_cases.unit_solve import unit_solve_cases

CASES = (
    gate_filter_cases,
    unit_solve_cases,
    chunk_scan_cases,
    channel_gates_cases,
    deep_chunk_cases,
    decode_cases,
    short_conv_cases,
    token_scans_cases,
)

__all__ = ["CASES", "Case"]
