"""What stands between a memory's projections and its rule: convolution, activation, unit length.

A layer is given the function that does all of it, as it is given its scan; this one is plain torch.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.padding import convolve_live


class ShortConv(Protocol):
    """x [B, T, M], weight [width, M] -> y [B, T, heads, M / heads], and the next cache."""

    def __call__(
        self,
        x: Tensor,
        weight: Tensor,
        cache: Tensor,
        mask: Tensor | None = None,
        *,
        heads: int,
        silu: bool,
        unit: bool,
    ) -> tuple[Tensor, Tensor]: ...


def short_conv(
    x: Tensor,
    weight: Tensor,
    cache: Tensor,
    mask: Tensor | None = None,
    *,
    heads: int,
    silu: bool,
    unit: bool,
) -> tuple[Tensor, Tensor]:
    """The same in torch's own operations.

    Args:
        x: [B, T, M].
        weight: [width, M] of a depthwise convolution.
        cache: [B, width - 1, M], the last live inputs before x.
        mask: [B, T] bool, False where a token is padding; y is unspecified there.
        heads: how many M is divided into.
        silu: whether there is an activation.
        unit: whether heads are brought to unit length.
    """
    x, cache = convolve_live(x, weight, cache, mask)
    return activated(x, heads=heads, silu=silu, unit=unit), cache


def activated(x: Tensor, *, heads: int, silu: bool, unit: bool) -> Tensor:
    """What follows the convolution: [B, T, M] -> [B, T, heads, M / heads]."""
    x = (F.silu(x) if silu else x).unflatten(-1, (heads, -1))
    return to_unit(x) if unit else x


def to_unit(x: Tensor) -> Tensor:
    """x to unit length over its last axis; smooth at 0, computed at least in fp32."""
    wide = x if x.dtype == torch.float64 else x.float()
    return (wide * torch.rsqrt(wide.square().sum(-1, keepdim=True) + 1e-6)).to(x.dtype)
