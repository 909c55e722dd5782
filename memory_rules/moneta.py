"""Moneta: l_p errors and l_q retention (MIRAS, arXiv:2504.13173, eqs. 24-25).

    sum_t    = (1 - decay_t) sum_{t-1} - lr_t surprise_t      surprise: gradient of ||e||_p^p
    memory_t = sum_t / ||sum_t||_q^(q-2)

The norm is over all entries of a matrix. Descent runs on the accumulator `sum`; the memory is its
image, taken when a chunk ends, and inside a chunk it moves with the writes. The published map
sends a small accumulator to a large memory; `floor` bounds that:
||sum||_q^q is replaced by ||sum||_q^q + floor^q.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memory_rules import objectives
from memory_rules.learning import AbstractLearningRule
from memory_rules.registry import register


@register("moneta", paper="arXiv:2504.13173")
@dataclass(frozen=True, kw_only=True)
class Moneta(AbstractLearningRule):
    """l_p objective on a normalised accumulator, no momentum."""

    p: float = 3.0
    q: float = 4.0
    floor: float = 1.0  # towards 0: the published map
    momentum: str = "none"

    nonlinear_close: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p <= 1:
            raise ValueError(f"p: {self.p} must be greater than 1.")
        if self.q < 2:
            raise ValueError(f"q: {self.q} must be 2 or more.")
        if self.floor <= 0:
            raise ValueError(f"floor: {self.floor} must be greater than 0.")
        if self.decay_towards == "start":
            raise ValueError("decay_towards: start is not defined for an accumulator; use zero.")

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.lp(prediction, target, self.p)

    def open_matrix(self, dual: Tensor) -> Tensor:
        power = dual.abs().pow(self.q).sum((-2, -1), keepdim=True) + self.floor**self.q
        return dual * power.pow((2.0 - self.q) / self.q)

    def close_matrix(
        self, *, decayed: Tensor, linear: Tensor, momentum: Tensor | None, dual: Tensor
    ) -> tuple[Tensor, Tensor]:
        dual = dual + (linear - decayed)
        return self.open_matrix(dual), dual
