"""Normalisation over the last axis: root mean square, or mean and variance."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["rms", "layer"]
EPS = 1e-6


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis (arXiv:1910.07467)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]."""
        return F.rms_norm(x, (self.dim,), self.weight.to(x.dtype), EPS)


class LayerNorm(nn.Module):
    """(x - mean) / std * weight + bias over the last axis (arXiv:1607.06450)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """[..., dim] -> [..., dim]."""
        return F.layer_norm(x, (self.dim,), self.weight.to(x.dtype), self.bias.to(x.dtype), EPS)


NORMS: dict[str, type[RMSNorm] | type[LayerNorm]] = {"rms": RMSNorm, "layer": LayerNorm}


def make_norm(kind: Norm, dim: int) -> nn.Module:
    """The norm of that name."""
    return NORMS[kind](dim)
