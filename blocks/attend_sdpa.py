"""PyTorch's fused attention, which runs everywhere, and what every backend asks of its inputs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.masks import Sight


def sdpa(q: Tensor, k: Tensor, v: Tensor, sight: Sight, dropout: float) -> Tensor:
    """PyTorch's fused attention; the plain causal case needs no mask in memory."""
    share = q.shape[2] // k.shape[2]
    q, k, v = q.transpose(1, 2), heads_first(k, share), heads_first(v, share)
    if sight.plain:
        # a prefix row more in the queries makes the triangle square again; its output is dropped
        square = F.pad(q, (0, 0, sight.prefix, 0))
        y = F.scaled_dot_product_attention(square, k, v, dropout_p=dropout, is_causal=True)
        return y[:, :, sight.prefix :].transpose(1, 2)
    mask = sight.dense(q.shape[2], q.device)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return y.transpose(1, 2)


def type_of(x: Tensor) -> torch.dtype:
    """The type that attention computes x in: an open autocast's, else its own.

    Autocast casts what torch's own attention is given, and nobody else's.
    """
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def heads_first(x: Tensor, share: int) -> Tensor:
    """[B, S, G, D] -> [B, G * share, S, D], each group repeated for the heads that share it."""
    if share > 1:
        x = x.repeat_interleave(share, dim=2)
    return x.transpose(1, 2)
