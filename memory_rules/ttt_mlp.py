"""TTT-MLP: a two-layer network trained while it reads (arXiv:2407.04620, section 2.7).

    y        = x + gain * LN(gelu(x W1 + b1) W2 + b2) + offset
    memory_t = memory_{t-1} - lr_t / (2 dim) surprise_t

with the surprise taken at the start of each chunk of 16 tokens (the paper's mini-batch). lr_t in
(0, max_lr) is the published step, 0.1 for this network; its further factor 1/i within the chunk is
left out, and gelu is the exact one, not its tanh approximation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from memory_rules.dense import Dense
from memory_rules.networks import append_one, check_size
from memory_rules.registry import register
from memory_rules.ttt import AbstractTtt


@register("ttt_mlp", paper="arXiv:2407.04620")
@dataclass(frozen=True, kw_only=True)
class TttMlp(AbstractTtt):
    """Two matrices with their biases, four times as wide inside, under a norm and a residual."""

    max_lr: float = 0.1
    expand: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size("expand", self.expand, 1 / 256, 256)

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        hidden = max(1, round(dim * self.expand))
        return {"w1": (dim + 1, hidden), "w2": (hidden + 1, dim)}

    def network(self, dense: Dense, x: Tensor) -> Tensor:
        hidden = F.gelu(dense("w1", append_one(x)))
        return dense("w2", append_one(hidden))
