"""What the machine can do, measured in the same run: matrix products, and copies."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from playground.bench.measure import measure, nothing

# by device: sides of the products, and bytes of a copy that no cache holds
SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
COPIED = {"cpu": 1 << 26, "cuda": 1 << 30}


@dataclass(frozen=True, kw_only=True)
class Peak:
    """flops_per_s: of square matrix products; bytes_per_s: read and written by a copy.

    Both are of the fastest repetition of the best size: a share of this peak is not flattered by a
    slow moment of the machine.
    """

    flops_per_s: float
    bytes_per_s: float
    size: int

    def better_of(self, other: "Peak") -> "Peak":
        """The higher of two measurements, for one before and one after what is compared."""
        best = max(self, other, key=lambda p: p.flops_per_s)
        return Peak(
            flops_per_s=best.flops_per_s,
            bytes_per_s=max(self.bytes_per_s, other.bytes_per_s),
            size=best.size,
        )


def measure_peak(
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    sizes: tuple[int, ...] | None = None,
    repeats: int = 15,
    sync: Callable[[], object] = nothing,
) -> Peak:
    """Time products of square matrices of every size and one copy, with the threads set now.

    Args:
        dtype: of the factors.
        device: cpu or cuda.
        sizes: sides of the products; None for those that are usual there.
        repeats: calls of each.
        sync: waits until the device is idle.
    """
    rates, kind = {}, torch.device(device).type
    for size in sizes or SIZES[kind]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        times = measure(
            lambda a=a, b=b, out=out: torch.mm(a, b, out=out), repeats=repeats, sync=sync
        )
        rates[size] = 2.0 * size**3 / times.fastest * 1e3
    source = torch.ones(COPIED[kind] // 4, device=device)
    target = torch.empty_like(source)
    times = measure(lambda: target.copy_(source), repeats=repeats, sync=sync)
    best = max(rates, key=lambda size: rates[size])
    copied = 2.0 * COPIED[kind] / times.fastest * 1e3
    return Peak(flops_per_s=rates[best], bytes_per_s=copied, size=best)
