"""A gated causal depthwise convolution as token mixer.

v, g = norm(x) W_in;   x' = x + (conv(v) * silu(g)) W_out;   y = x' + feedforward(norm(x'))
"""

import torch.nn.functional as F
from tensordict import TensorClass
from torch import Tensor, nn

from blocks.block import Block, Setting
from blocks.depthwise import DepthwiseConv
from blocks.init import ResidualLinear
from blocks.norms import make_norm
from blocks.spec import Conv


class ConvState(TensorClass):
    """The last inputs of the convolution: conv [B, width - 1, M]; batch_size [B]."""

    conv: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.conv.numel() * self.conv.element_size() // max(1, self.conv.shape[0])


class ConvBlock(Block):
    """Convolution and feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Conv, setting: Setting) -> None:
        super().__init__(spec, setting)
        dim = setting.dim
        self.norm = make_norm(setting.norm, dim)
        self.enter = nn.Linear(dim, 2 * dim, bias=False)
        self.conv = DepthwiseConv(dim, spec.width)
        self.out = ResidualLinear(dim, dim, bias=False)

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
