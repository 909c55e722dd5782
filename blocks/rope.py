"""Rotary positions: queries and keys are turned by angles that grow with their position.

Only differences of positions reach a score, so a stream can run on for ever; the angles are taken
in fp64 from int64 positions, since fp32 is wrong by whole turns beyond some 10^7 tokens.
"""

import torch
from torch import Tensor

BASE = 10_000.0


def angles(positions: Tensor, width: int) -> Tensor:
    """Angles [..., width / 2] in fp64, in radians, of int64 positions [...].

    Raises:
        ValueError: `width`, the width of one head, is odd.
    """
    if width % 2:
        raise ValueError(
            f"heads: RoPE turns pairs, but one head is {width} wide. Use an even width."
        )
    pairs = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)
    return positions.to(torch.float64)[..., None] * BASE ** (-pairs / width)


def places(before: Tensor, length: int, mask: Tensor | None) -> Tensor:
    """Positions [B, length] of the next tokens, after `before` [B] of them.

    Padding has no position of its own: a prompt says the same wherever its padding stands.
    """
    if mask is None:
        return before[:, None] + torch.arange(length, device=before.device)
    return before[:, None] + mask.cumsum(dim=1) - 1


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn every pair (x[i], x[i + D/2]) of x [B, T, H, D] by its angle, turn [B, T, D/2]."""
    wide = torch.promote_types(x.dtype, torch.float32)
    cos, sin = turn.cos().to(wide)[..., None, :], turn.sin().to(wide)[..., None, :]
    first, second = x.to(wide).chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x.dtype)
