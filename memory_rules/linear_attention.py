"""Linear attention: a sum of outer products (arXiv:2006.16236), without its normaliser.

memory_t = memory_{t-1} + k_t^T v_t
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.base import AbstractGradientRule
from memory_rules.dense import Dense
from memory_rules.registry import register


@register("linear_attention", paper="arXiv:2006.16236")
@dataclass(frozen=True, kw_only=True)
class LinearAttention(AbstractGradientRule):
    """A linear memory and the dot-product objective; every token is written with the same step."""

    anchor = "token"
    lr = "none"
    momentum = "none"
    decay = "none"
    start = "zero"

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        return dense("w", x)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.dot(prediction, target)
