"""xformers' memory-efficient attention, on CUDA, by name only.

It has no mask for a window behind an always-visible prefix, nor for MAC's context (its own
bottom-right triangle would show MAC's rows the future). Both are parts that it has masks for,
merged by log-sum-exp (`attend_parts.py`).
"""

import torch
from torch import Tensor

from blocks.attend_parts import attend_parts
from blocks.attend_sdpa import sdpa, type_of
from blocks.masks import Sight

ALIGNED = 8  # widths of heads are multiples of it


def xformers(q: Tensor, k: Tensor, v: Tensor, sight: Sight, dropout: float) -> Tensor:
    """Attention by xformers; shared keys and values are repeated, as its GQA has no backward.

    Raises:
        ValueError: a head's width is no multiple of 8.
    """
    if not xformers_takes(q, padded=sight.live is not None):
        return sdpa(q, k, v, sight, dropout)
    if q.shape[-1] % ALIGNED:
        raise ValueError(
            f"backend: xformers needs heads whose width is a multiple of {ALIGNED}, not "
            f"{q.shape[-1]}. Write other heads, or backend: sdpa."
        )
    share = q.shape[2] // k.shape[2]
    if share > 1:
        k, v = k.repeat_interleave(share, dim=2), v.repeat_interleave(share, dim=2)
    q, k, v = (t.to(type_of(q)) for t in (q, k, v))
    return attend_parts(q, k, v, sight.parts())


def xformers_takes(q: Tensor, *, padded: bool) -> bool:
    """Whether a call goes to xformers' kernels, which know fp16 and bf16 and no padding."""
    return type_of(q) in (torch.float16, torch.bfloat16) and not padded
