"""xformers' memory-efficient attention, on CUDA, by name only.

It has no mask class for a window behind an always-visible prefix nor for MAC's context (its own
bottom-right triangle would show MAC's rows the future), so those patterns go in as a dense bias.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.masks import Sight


def xformers(q: Tensor, k: Tensor, v: Tensor, sight: Sight, dropout: float) -> Tensor:
    """Attention by xformers; shared keys and values are repeated, as its GQA has no backward."""
    import xformers.ops as ops  # pyright: ignore[reportMissingImports]

    share = q.shape[2] // k.shape[2]
    if share > 1:
        k, v = k.repeat_interleave(share, dim=2), v.repeat_interleave(share, dim=2)
    triangle = sight.plain and not sight.prefix
    bias = ops.LowerTriangularMask() if triangle else dense_bias(sight, q)
    return ops.memory_efficient_attention(q, k, v, attn_bias=bias, p=dropout)


def dense_bias(sight: Sight, q: Tensor) -> Tensor:
    """0 where a key is visible, -inf elsewhere: [B, H, T, S], rows aligned to 8 as asked for."""
    hidden = ~sight.dense(q.shape[1], q.device)
    bias = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill(
        hidden, float("-inf")
    )
    aligned = F.pad(bias, (0, -sight.columns % 8))[..., : sight.columns]
    return aligned.expand(q.shape[0], q.shape[2], -1, -1)
