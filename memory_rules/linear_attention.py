"""Linear attention: a sum of outer products (arXiv:2006.16236), without its normaliser.

memory_t = memory_{t-1} + k_t^T v_t
"""

from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register


@register("linear_attention", paper="arXiv:2006.16236")
@dataclass(frozen=True, kw_only=True)
class LinearAttention(AbstractLinearRule):
    """A linear memory and the dot-product objective; every token is written with the same step."""

    lr = "none"
    decay = "none"

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.dot(prediction, target)
