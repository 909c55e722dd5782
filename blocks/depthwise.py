"""A causal depthwise convolution that can be taken up at any token."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from blocks.init import Fill, constant, uniform


class DepthwiseConv(nn.Module):
    """y[t] = sum over i of weight[i] * x[t - width + 1 + i], each channel by itself.

    Before the first token are zeros. Padding may stand anywhere: a masked token keeps its slot and
    counts as a zero there, so tokens do not move closer over a gap. The sum of `width` shifted
    products fuses into one loop when compiled, and needs no transposes in between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        self.weight = nn.Parameter(torch.empty(width, channels))

    def initial(self) -> Mapping[str, Fill]:
        """How the parameters begin."""
        return {"weight": uniform(1.0 / math.sqrt(self.width))}

    def neutral(self) -> Mapping[str, Fill]:
        """Weights with which y is x."""
        last = torch.zeros(self.width, 1)
        last[-1] = 1.0
        return {"weight": constant(last)}

    def start(self, batch: int) -> Tensor:
        """The cache before the first token: [B, width - 1, channels] zeros."""
        return self.weight.new_zeros(batch, self.width - 1, self.channels)

    def forward(
        self, x: Tensor, cache: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Convolve the next tokens.

        Args:
            x: [B, T, channels].
            cache: the last width - 1 inputs before x.
            mask: [B, T] bool, False where a token is padding.

        Returns:
            y [B, T, channels] and the next cache.
        """
        if mask is not None:
            x = torch.where(mask[..., None], x, 0.0)
        return convolve(x, self.weight, cache)


def convolve(x: Tensor, weight: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
    """What `DepthwiseConv` says of x [B, T, channels], and the next cache; weight [width, .]."""
    length, weight = x.shape[1], weight.to(x.dtype)
    seen = torch.cat([cache.to(x.dtype), x], dim=1)
    y = seen[:, :length] * weight[0]
    for i in range(1, weight.shape[0]):
        y = y + seen[:, i : i + length] * weight[i]
    return y, seen[:, length:].clone()  # a view would keep all of `seen` alive
