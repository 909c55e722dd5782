"""DeltaNet: the delta rule, one exact correction per token (arXiv:2406.06484).

    memory_t = memory_{t-1} - 2 lr_t k_t^T (k_t memory_{t-1} - v_t)

Our objective ||k memory - v||^2 has no 1/2, so the `beta` of the paper is twice this rule's lr.
"""

from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register


@register("delta", paper="arXiv:2406.06484")
@dataclass(frozen=True, kw_only=True)
class Delta(AbstractLinearRule):
    """A linear memory, squared error, a gradient at every token; no decay, no momentum."""

    max_lr: float = 0.5  # 0.5 writes the value whole; up to 1.0 allows negative eigenvalues

    decay = "none"

    def __post_init__(self) -> None:
        if not 0.0 < self.max_lr <= 1.0:
            raise ValueError(f"max_lr: {self.max_lr} is not in (0, 1]; above 1 it diverges.")

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
