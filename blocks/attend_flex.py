"""FlexAttention, compiled, on CUDA: the mask function becomes part of the kernel."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from blocks.attend_sdpa import sdpa, type_of
from blocks.masks import Sight

_BLOCK = 128  # flex's own tile of queries and keys


@cache
def compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """flex and its mask builder, compiled when first called for."""
    return torch.compile(flex_attention), torch.compile(create_block_mask)


def flex(q: Tensor, k: Tensor, v: Tensor, sight: Sight, dropout: float) -> Tensor:
    """Attention by flex; calls shorter than one of its tiles go through `sdpa`, and fp64 does.

    A stream that decodes token by token has a new past each time, for which flex would compile
    anew; there is nothing to gain in so short a call. Its sums are of 32 bits at most.
    """
    rows = q.shape[1]
    if rows < _BLOCK or type_of(q) == torch.float64:
        return sdpa(q, k, v, sight, dropout)
    q, k, v = (t.to(type_of(q)) for t in (q, k, v))
    batch = None if sight.live is None else q.shape[0]
    attention, block_mask = compiled()
    visible = block_mask(sight.visible(), batch, None, rows, sight.columns, device=q.device)
    y = attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        block_mask=visible,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    assert isinstance(y, Tensor)  # the log-sum-exp was not asked for
    return y.transpose(1, 2)
