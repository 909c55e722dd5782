"""The token-wise network after the mixer."""

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.init import ResidualLinear
from blocks.norms import Norm, make_norm
from blocks.spec import FeedForwardSpec

_MULTIPLE = 8  # hidden widths are rounded to this: aligned rows in every precision


def hidden_width(spec: FeedForwardSpec, dim: int) -> int:
    """Width inside, `expand * dim` rounded to a multiple of 8; 0 for `kind: none`."""
    if spec.kind == "none":
        return 0
    return max(_MULTIPLE, _MULTIPLE * round(spec.expand * dim / _MULTIPLE))


class FeedForward(nn.Module):
    """swiglu: down(silu(gate(x)) * up(x)) (arXiv:2002.05202); gelu: down(gelu(up(x))); none: 0."""

    def __init__(self, spec: FeedForwardSpec, dim: int) -> None:
        super().__init__()
        self.spec = spec
        if spec.kind == "none":
            return
        hidden = hidden_width(spec, dim)
        if spec.kind == "swiglu":
            self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = ResidualLinear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim], to be added to the residual stream."""
        if self.spec.kind == "none":
            return x.new_zeros(x.shape)
        up = self.up(x)
        hidden = F.silu(self.gate(x)) * up if self.spec.kind == "swiglu" else F.gelu(up)
        return F.dropout(self.down(hidden), self.spec.dropout, self.training)


class FeedForwardResidual(nn.Module):
    """x + feedforward(norm(x)); without parameters, x itself, for `kind: none`."""

    def __init__(self, spec: FeedForwardSpec, dim: int, *, norm: Norm = "rms") -> None:
        super().__init__()
        self.empty = spec.kind == "none"
        if not self.empty:
            self.norm = make_norm(norm, dim)
            self.network = FeedForward(spec, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]."""
        return x if self.empty else x + self.network(self.norm(x))
