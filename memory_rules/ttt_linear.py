"""TTT-Linear: a linear layer trained while it reads (arXiv:2407.04620, section 2.7).

    y        = x + gain * LN(x W + b) + offset
    memory_t = memory_{t-1} - lr_t / (2 dim) surprise_t

with the surprise taken at the start of each chunk of 16 tokens (the paper's mini-batch). lr_t in
(0, max_lr) is the published step, whose objective has a 1/2; its further factor 1/i within the
chunk (i = 1, 2, ...) is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from memory_rules.dense import Dense
from memory_rules.networks import append_one
from memory_rules.registry import register
from memory_rules.ttt import AbstractTtt


@register("ttt_linear", paper="arXiv:2407.04620")
@dataclass(frozen=True, kw_only=True)
class TttLinear(AbstractTtt):
    """One matrix with its bias under a layer norm and a residual."""

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return {"w": (dim + 1, dim)}

    def network(self, dense: Dense, x: Tensor) -> Tensor:
        return dense("w", append_one(x))
