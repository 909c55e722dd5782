"""What scans in kernels share: layouts, the type of factors, the solve of class B."""

import torch
from torch import Tensor

from kernels.launch import tile
from memory_rules import AbstractGradientRule
from playground.compile.lowering.segments import chunk_length


def factors_of(x: Tensor) -> torch.dtype | None:
    """The type of the factors of products: autocast's, or that of the tensors."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def chunk_of(rule: AbstractGradientRule, length: int) -> int:
    """Tokens of a chunk; of a short call a whole tile: every size is a program of its own."""
    return min(tile(length), chunk_length(rule))


def flat(t: Tensor) -> Tensor:
    """[N, B, H, ...] -> [N, B * H, ...]."""
    return t.flatten(1, 2)


def solved_by_kernel(system: Tensor, right: Tensor) -> Tensor:
    """The solution of (I + what is below the diagonal of `system`) X = right."""
    from kernels.unit_solve import unit_solve  # triton is an extra

    return unit_solve(system, right, factors_of(right))
