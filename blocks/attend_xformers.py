"""xformers' memory-efficient attention, on CUDA, by name only.

It has no mask for a window behind an always-visible prefix, nor for MAC's context (its own
bottom-right triangle would show MAC's rows the future). Both are parts that it has masks for,
merged by log-sum-exp (`attend_parts.py`): `memory_efficient_attention_partial` gives each part and
its log-sum-exp, `memory_efficient_attention_backward` its gradients.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=false
# (the package may be missing or not)

from typing import Any

from torch import Tensor

from blocks.attend import sdpa, type_of, xformers_takes
from blocks.attend_parts import attend_parts
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


def bias(reach: int) -> Any:
    """Its mask for a part: None, the bottom-right triangle, or a band of it; see `Part`."""
    from xformers.ops.fmha import attn_bias  # pyright: ignore[reportMissingImports]

    if not reach:
        return None
    triangle = attn_bias.LowerTriangularFromBottomRightMask()
    return triangle if reach < 0 else triangle.make_local_attention(reach)


class Xformers:
    """A part run by xformers; see `attend_parts.Kernel`."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """By `memory_efficient_attention_partial`."""
        from xformers.ops import fmha  # pyright: ignore[reportMissingImports]

        out, lse = fmha.memory_efficient_attention_partial(q, k, v, attn_bias=bias(reach))
        return out, lse[..., : q.shape[1]]

    def backward(
        self, g: Tensor, out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, reach: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """By `memory_efficient_attention_backward`."""
        from xformers.ops import fmha  # pyright: ignore[reportMissingImports]

        return fmha.memory_efficient_attention_backward(g, out, lse, q, k, v, attn_bias=bias(reach))
