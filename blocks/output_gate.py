"""How two streams become one: attention and memory, or a memory's output and its own gate."""

import torch
from torch import Tensor, nn

from blocks.norms import RMSNorm
from blocks.spec import OutputGate


class StreamGate(nn.Module):
    """y gated by m, token by token (arXiv:2501.00663, eqs. 25 and 28); [..., M] each.

    norm_sigmoid: RMSNorm_a(y) * sigmoid(RMSNorm_b(m)); sigmoid: y * sigmoid(m); product: y * m.
    """

    def __init__(self, kind: OutputGate, dim: int) -> None:
        """kind: which of the three; dim: width M of both streams."""
        super().__init__()
        self.kind = kind
        normed = kind == "norm_sigmoid"
        self.norm_y = RMSNorm(dim) if normed else nn.Identity()
        self.norm_m = RMSNorm(dim) if normed else nn.Identity()

    def forward(self, y: Tensor, m: Tensor) -> Tensor:
        y, m = self.norm_y(y), self.norm_m(m)
        return y * (m if self.kind == "product" else torch.sigmoid(m))
