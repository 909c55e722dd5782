"""What is compiled ahead of time: a file per family of kernels; each gives its cases for a GPU."""

from benchmarks.aot_cases.case import Case
from benchmarks.aot_cases.chunk_scan import chunk_scan_cases
from benchmarks.aot_cases.deep_chunk import deep_chunk_cases

CASES = (chunk_scan_cases, deep_chunk_cases)

__all__ = ["CASES", "Case"]
