"""What a process that computes on a CPU asks of the processor and of the C library."""

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h, by number
_LARGEST = (1 << 31) - 1  # bytes


def prepare_process() -> None:
    """Flush subnormal numbers to zero, and keep freed memory for the next tensor.

    Products of gates and memories that decay reach subnormal numbers, which a CPU handles 10 to
    250 times slower; threads made from here on inherit the setting. glibc gives large blocks back
    to the system when they are freed, and fresh ones are mapped page by page: 4,000 page faults
    and a tenth of the time of a training step. Other C libraries are left as they are.
    """
    torch.set_flush_denormal(True)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, _LARGEST)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
