"""A gated causal depthwise convolution as token mixer.

v, g = norm(x) W_in;   x' = x + (conv(v) * silu(g)) W_out;   y = x' + feedforward(norm(x'))
"""

import torch.nn.functional as F
from tensordict import TensorClass
from torch import Tensor, nn

from blocks.depthwise import DepthwiseConv
from blocks.feedforward import FeedForwardResidual
from blocks.init import ResidualLinear
from blocks.norms import Norm, make_norm
from blocks.spec import Conv
from memory_rules import Scan, recurrent


class ConvState(TensorClass):
    """The last inputs of the convolution: conv [B, width - 1, M]; batch_size [B]."""

    conv: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.conv.numel() * self.conv.element_size() // max(1, self.conv.shape[0])


class ConvBlock(nn.Module):
    """Convolution and feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("forward",)

    def __init__(
        self,
        spec: Conv,
        dim: int,
        *,
        rope: bool,
        persistent_tokens: int,
        depth: int,
        scan: Scan = recurrent,
        norm: Norm = "rms",
    ) -> None:
        """A block of width `dim`; of the other arguments only `norm` has a part here."""
        super().__init__()
        self.norm = make_norm(norm, dim)
        self.enter = nn.Linear(dim, 2 * dim, bias=False)
        self.conv = DepthwiseConv(dim, spec.width)
        self.out = ResidualLinear(dim, dim, bias=False)
        self.feedforward = FeedForwardResidual(spec.feedforward, dim, norm=norm)

    def start(self, batch: int) -> ConvState:
        """The state of `batch` sequences before their first token."""
        return ConvState(conv=self.conv.start(batch), batch_size=[batch])

    def forward(
        self, x: Tensor, state: ConvState, mask: Tensor | None = None
    ) -> tuple[Tensor, ConvState]:
        """The next tokens; mask [B, T] bool is False where a token is padding."""
        value, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        value, conv = self.conv(value, state.conv, mask)
        x = x + self.out(value * F.silu(gate))
        return self.feedforward(x), state.replace(conv=conv)
