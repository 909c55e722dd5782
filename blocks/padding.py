"""Padding: tokens that are there for the shape of a batch only."""

import torch
from torch import Tensor

from blocks.depthwise import convolve


def convolve_live(
    x: Tensor, weight: Tensor, cache: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The convolution of the tokens that are not padding, as if the others were not there.

    A padded prompt then says what the prompt alone says, also behind a cache that holds
    persistent tokens.

    Args:
        x: [B, T, M].
        weight: [w, M].
        cache: [B, w - 1, M], the last live tokens before x.
        mask: [B, T] bool, False where a token is padding; y is unspecified there.
    """
    if mask is None:
        return convolve(x, weight, cache)
    before = cache.shape[1]
    live = torch.cat([mask.new_ones(x.shape[0], before), mask], 1)
    order = live.to(torch.uint8).argsort(dim=1, stable=True)  # padding first, in order both
    packed = _pick(torch.cat([cache.to(x.dtype), x], 1), order)
    y, cache = convolve(packed[:, before:], weight, packed[:, :before])
    return _pick(y, (order.argsort(dim=1)[:, before:] - before).clamp(min=0)), cache


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """Rows `index` [B, N] of x [B, T, M]."""
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
