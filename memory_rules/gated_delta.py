"""Gated DeltaNet: forget first, then correct what is left (arXiv:2412.06464).

    left_t   = (1 - decay_t) memory_{t-1}
    memory_t = left_t - 2 lr_t k_t^T (k_t left_t - v_t)

The paper's alpha is 1 - decay, its beta twice this rule's lr (our objective has no 1/2).
"""

from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register


@register("gated_delta", paper="arXiv:2412.06464")
@dataclass(frozen=True, kw_only=True)
class GatedDelta(AbstractLinearRule):
    """The delta rule with a scalar decay; surprise is measured on the decayed memory."""

    max_lr: float = 0.5  # 0.5 writes the value whole; up to 1.0 allows negative eigenvalues

    surprise_at = "decayed_memory"

    def __post_init__(self) -> None:
        if not 0.0 < self.max_lr <= 1.0:
            raise ValueError(f"max_lr: {self.max_lr} is not in (0, 1]; above 1 it diverges.")

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
