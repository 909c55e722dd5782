"""What is compiled ahead of time: a file per family of kernels; each gives its cases for a GPU."""

from benchmarks.aot_cases.case import Case
from benchmarks.aot_cases.chunk_scan import chunk_scan_cases
from benchmarks.aot_cases.decode import decode_cases
from benchmarks.aot_cases.short_conv import short_conv_cases

CASES = (chunk_scan_cases, decode_cases, short_conv_cases)

__all__ = ["CASES", "Case"]
