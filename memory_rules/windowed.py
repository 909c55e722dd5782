"""What Omega and Atlas share: a window of tokens to descend, and polynomial features of keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor

from memory_rules import objectives
from memory_rules.dense import Dense
from memory_rules.learning import AbstractLearningRule
from memory_rules.networks import NETWORKS, check_size

# the matrices that meet the features of a key, and so grow with their degree
FIRST = {"linear": ("w",), "mlp": ("w1",), "swiglu": ("gate", "up")}


def powers(x: Tensor, degree: int) -> Tensor:
    """[x, x^2 / sqrt(2!), ..., x^degree / sqrt(degree!)], elementwise: [..., d] -> [..., degree d].

    The diagonal of the Taylor features of exp(<x, y>): products of different channels, which the
    full features have and which would take d^degree channels, are left out.
    """
    return torch.cat([x**i / factorial(i) ** 0.5 for i in range(1, degree + 1)], -1)


@dataclass(frozen=True, kw_only=True)
class AbstractWindowRule(AbstractLearningRule):
    """Squared error over the last `window` tokens, each weighted by a gate of its own."""

    window: int = 4
    degree: int = 1  # of the polynomial features; 1 is the key itself

    def __post_init__(self) -> None:
        if self.network not in FIRST:
            known = ", ".join(sorted(FIRST))
            raise ValueError(f"network: {self.network!r} has no features here. Allowed: {known}.")
        super().__post_init__()
        check_size("window", self.window, 1, 4096)
        if self.window > 1 and self.passes:
            raise ValueError(f"anchor: {self.anchor!r} needs window: 1; use chunk or token.")
        check_size("degree", self.degree, 1, 16)

    @property
    def lr_limit(self) -> float:
        """A token's gradient is met `window` times, features are longer than their unit key."""
        limit = super().lr_limit
        if self.max_lr != "auto":
            return limit
        length = sum(1.0 / factorial(i) for i in range(1, self.degree + 1))
        return limit / (self.window * length)

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        shapes = NETWORKS[self.network].shapes(dim, self.depth, self.expand)
        first = FIRST[self.network]
        return {
            n: (rows * self.degree if n in first else rows, columns)
            for n, (rows, columns) in shapes.items()
        }

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        features = powers(x, self.degree)
        return self._wrap(x, NETWORKS[self.network].read(dense, features, self.depth))

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
