"""What a process that computes asks of the processor, of the C library and of torch's caches."""

import ctypes
import hashlib
import sys
from functools import cache
from pathlib import Path

import torch
import torch.compiler.config

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


@cache
def source_digest() -> str:
    """Identity of the sources that compiled programs depend on."""
    root, found = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in ("memory_rules", "kernels", "blocks", "playground/compile"):
        for file in sorted((root / package).rglob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()[:16]


def tag_compiled_programs() -> None:
    """Keep programs apart that other versions of these sources left in torch's caches.

    A cached program has the shapes that our operators gave when it was compiled built in; torch
    cannot see that an operator behind one name has changed.
    """
    torch.compiler.config.cache_key_tag = f"playground-{source_digest()}"
