"""How the kernels of a deep memory are started: sizes, tiles and warps."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kernels.configs import STAGES
from kernels.launch import kind_of, tile

WIDEST, LONGEST = 128, 128  # channels of a head and tokens of a chunk that a program holds
WARPS = 8
STATES = 1 << 28  # numbers of states that are kept at once where nothing goes back


def check_sizes(chunk_size: int, width: int) -> str:
    """Why the kernels have no room for a chunk or a head, "" if they have."""
    if chunk_size > LONGEST:
        return f"no kernel for chunks of more than {LONGEST} tokens, this one has {chunk_size}"
    if width > WIDEST:
        return f"no kernel for heads wider than {WIDEST}, this one has {width}"
    return ""


class Job:
    """The sizes of a call, and how its kernels are started."""

    def __init__(
        self,
        q: Tensor,
        c: Tensor | None,
        second: Tensor,
        L: int,
        factors: torch.dtype,
        **flags: bool,
    ) -> None:
        self.N, self.G, self.C, self.K = q.shape
        if problem := check_sizes(self.C, self.K):
            raise ValueError(f"deep_chunk: {problem}")
        self.momentum, self.deep = c is not None, L == 2
        self.H = second.shape[-2] // (2 if self.momentum else 1)
        self.factors, self.device = factors, q.device
        wide = torch.promote_types(q.dtype, torch.float32)
        self.told: dict[str, Any] = flags | {
            "C": self.C, "K": self.K, "H": self.H, "MOMENTUM": self.momentum, "DEEP": self.deep,
            "T": kind_of(factors), "ACC": kind_of(wide), "BLOCK": 1024,
            "BLOCK_C": tile(self.C), "BLOCK_K": tile(self.K), "ALL": self.N * self.G,
        }  # fmt: skip

    def start(self, kernel: Any, programs: int, *tensors: Tensor | None, **sizes: Any) -> None:
        """Start a kernel: tensors in its order, and of the sizes those it names."""
        tiles = blocks(self.C, self.K, self.factors)
        told = self.told | tiles | sizes
        told = {name: told[name] for name in kernel.arg_names if name in told}
        second = -(-self.C // tiles["BLOCK_Q"]) if "BLOCK_Q" in told else 1
        if kernel.__name__ == "memories_bwd":
            second = -(-self.H // tiles["BLOCK_H"])
        kernel[programs, second](*tensors, **told, num_warps=WARPS, num_stages=STAGES)


def blocks(chunk_size: int, width: int, factors: torch.dtype) -> dict[str, int]:
    """Sides of tiles. Found by `python -m benchmarks.aot`: what spills no registers.

    BLOCK_H: hidden channels of a step; BLOCK_Q: tokens of a program that needs not all of a chunk;
    ROWS: tokens whose sums over hidden channels are held at once, where it needs all.
    """
    tokens, wide = tile(chunk_size), torch.finfo(factors).bits > 16
    large = tokens * tile(width) > 64 * 128
    rows = 32 if wide else 64
    return {
        "BLOCK_H": 16 if wide or large else 32,
        "BLOCK_Q": min(rows, tokens),
        "ROWS": min(rows, tokens) if wide or large else tokens,
    }


def pieces(N: int, numbers: int) -> Iterator[slice]:
    """Runs of chunks whose states have at most `STATES` numbers together."""
    most = max(1, STATES // numbers)
    for first in range(0, N, most):
        yield slice(first, min(N, first + most))
