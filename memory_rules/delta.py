"""DeltaNet: the delta rule, one exact correction per token (arXiv:2406.06484).

    memory_t = memory_{t-1} - lr_t k_t (k_t memory_{t-1} - v_t)

Our objective has no 1/2, so the `lr` of the paper (called beta there) is twice this rule's gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.base import AbstractGradientRule
from memory_rules.dense import Dense
from memory_rules.registry import register


@register("delta", paper="arXiv:2406.06484")
@dataclass(frozen=True, kw_only=True)
class Delta(AbstractGradientRule):
    """A linear memory, squared error, a gradient at every token; no decay, no momentum."""

    max_lr: float = 0.5  # 0.5 writes the value whole; up to 1.0 allows negative eigenvalues

    anchor = "token"
    momentum = "none"
    decay = "none"
    start = "zero"

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        return dense("w", x)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
