"""A part of attention (`attend_parts.py`) run by xformers.

`memory_efficient_attention_partial` gives it and its log-sum-exp,
`memory_efficient_attention_backward` its gradients.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=false
# (the package may be missing or not)

from typing import Any

from torch import Tensor


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
