"""What a call takes beside time: memory, and what torch.compile made of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from playground.bench.memory import give_back, status_bytes


def extra_memory(run: Callable[[], object], device: str) -> int | None:
    """Bytes that a call adds to what its process, or the GPU, holds; None where nobody counts.

    On a CPU it is the peak of resident memory less what was resident before, with free memory given
    back first: pages that the system had kept for us are not seen, so small numbers are rough.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    give_back()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew from here
        before = status_bytes("VmRSS")
        run()
        return max(0, status_bytes("VmHWM") - before)
    except OSError:  # not Linux
        return None


def graph_breaks() -> int:
    """How often torch.compile has given up on a graph so far."""
    return sum(torch._dynamo.utils.counters["graph_break"].values())


def seconds(run: Callable[[], object], sync: Callable[[], object]) -> tuple[float, object]:
    """How long one call takes, and what it gives."""
    sync()
    begin = time.perf_counter()
    found = run()
    sync()
    return time.perf_counter() - begin, found


@contextmanager
def compile_cache(empty: bool) -> Iterator[None]:
    """Nothing compiled is kept from before in this process, nor, if `empty`, on the disk."""
    torch.compiler.reset()
    if not empty:
        yield
        return
    from torch._inductor.utils import fresh_cache

    with fresh_cache():
        yield
