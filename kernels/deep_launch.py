"""How the kernels of a deep memory are started: sizes, tiles and warps."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels.configs import DEEP, STAGES
from kernels.launch import WIDEST, capability_of, kind_of, tile

LONGEST = 128  # tokens of a chunk that a program holds
SEQUENTIAL = ("keys_fwd", "states_bwd")  # a program per sequence and head
STATES = 1 << 28  # numbers of states that are kept at once where nothing goes back


def check_sizes(chunk_size: int, width: int) -> str:
    """Why the kernels have no room for a chunk or a head, "" if they have."""
    if chunk_size > LONGEST:
        return f"no kernel for chunks of more than {LONGEST} tokens, this one has {chunk_size}"
    if width > WIDEST:
        return f"no kernel for heads wider than {WIDEST}, this one has {width}"
    return ""


class Settings(NamedTuple):
    """Sides of tiles, and warps of a program.

    hidden: channels of a step; queries: tokens of a program that needs not all of a chunk;
    sums: tokens whose sums over hidden channels are held at once, where it needs all.
    """

    hidden: int
    queries: int
    sums: int
    warps: int

    @property
    def tiles(self) -> dict[str, int]:
        """As kernels are told."""
        return {"BLOCK_H": self.hidden, "BLOCK_Q": self.queries, "ROWS": self.sums}


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
        name = kernel.__name__
        how = settings(name, self.C, self.K, self.factors, capability_of(self.device))
        told = self.told | how.tiles | sizes
        told = {size: told[size] for size in kernel.arg_names if size in told}
        second = -(-self.C // how.queries) if "BLOCK_Q" in told else 1
        if name == "memories_bwd":
            second = -(-self.H // how.hidden)
        kernel[programs, second](*tensors, **told, num_warps=how.warps, num_stages=STAGES)


def settings(
    kernel: str, chunk_size: int, width: int, factors: torch.dtype, capability: int
) -> Settings:
    """How a kernel is started. Found by `python -m benchmarks.aot`: what spills no registers.

    Args:
        kernel: its name.
        chunk_size: tokens of a chunk.
        width: channels of a head.
        factors: the type of the factors of products.
        capability: major, of the GPU.
    """
    tokens, wide = tile(chunk_size), torch.finfo(factors).bits > 16
    large = tokens * tile(width) > 64 * 128
    short = tokens <= 32 and kernel not in SEQUENTIAL
    rows = min(32 if wide else 64, tokens)
    found = Settings(
        hidden=16 if wide or large or short else 32,
        queries=rows,
        sums=rows if wide or large else tokens,
        warps=4 if short else 8,
    )
    if wide:  # in the interpreter alone
        return found
    return found._replace(**DEEP.get((kernel, tokens, tile(width), capability), {}))


def pieces(N: int, numbers: int) -> Iterator[slice]:
    """Runs of chunks whose states have at most `STATES` numbers together."""
    most = max(1, STATES // numbers)
    for first in range(0, N, most):
        yield slice(first, min(N, first + most))
