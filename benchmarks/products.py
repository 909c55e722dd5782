"""Products on this CPU: torch's library beside `playground::products`, by size and layout.

    python benchmarks/products.py [--threads 1] [--out FILE]

The sizes are those of a stack of eight small models, of one of them, and of larger models alone.
GFLOP/s at the median of seven timings; error: the mean distance to the product in fp64.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.progress import track
from torch import Tensor

from playground.compile import products

SIZES = [  # matrices, rows, depth, columns
    (8, 512, 64, 64),
    (8, 512, 64, 168),
    (8, 512, 168, 64),
    (8, 512, 64, 12),
    (8, 512, 64, 256),
    (1, 512, 64, 168),
    (1, 2048, 256, 256),
    (1, 2048, 256, 680),
    (1, 4096, 1024, 1024),
    (1, 32768, 512, 512),
]
TIMED_S = 0.05  # at least so long is one timing


def seconds(call: Callable[[], object]) -> float:
    """Of one call: the median of seven timings of many."""
    began = time.perf_counter()
    call()
    times = max(1, round(TIMED_S / (time.perf_counter() - began)))
    found = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(times):
            call()
        found.append((time.perf_counter() - began) / times)
    return median(found)


def measure(a: Tensor, b: Tensor) -> dict[str, float]:
    """GFLOP/s and errors of both."""
    flops, exact = 2 * a.numel() * b.shape[-1], a.double() @ b.double()
    found: dict[str, float] = {}
    for name, call in (("torch", torch.bmm), ("ours", products.products)):
        found[f"{name}, error"] = (call(a, b).double() - exact).abs().mean().item()
        found[name] = flops / seconds(lambda call=call: call(a, b)) / 1e9
    return found


def main() -> None:
    """Measure all sizes as they are in a forward pass and in both products of a backward pass."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    generator, rows = torch.Generator().manual_seed(0), []
    for size in track(SIZES, "products"):
        count, length, depth, columns = size
        x = torch.randn(count, length, depth, generator=generator)
        w = torch.randn(count, columns, depth, generator=generator)
        g = torch.randn(count, length, columns, generator=generator)
        for name, a, b in (("x W'", x, w.mT), ("g W", g, w), ("g' x", g.mT, x)):
            rows.append({"size": size, "product": name, **measure(a, b)})
    for row in rows:
        said = ", ".join(
            f"{k} {v:.1e}" if "error" in k else f"{k} {v:.0f}"
            for k, v in row.items()
            if isinstance(v, float)
        )
        print(row["size"], row["product"], said)
    if asked.out is not None:
        asked.out.write_text(json.dumps({"threads": asked.threads, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
