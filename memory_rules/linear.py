"""The plain linear memory: `y = q @ w`, one square matrix per head, nothing around it."""

from collections.abc import Mapping

from torch import Tensor

from memory_rules.dense import Dense
from memory_rules.gradient import AbstractGradientRule


class AbstractLinearRule(AbstractGradientRule):
    """A linear memory from zero, a gradient at every token (classes A and B), no momentum."""

    anchor = "token"
    momentum = "none"
    start = "zero"

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        return dense("w", x)
