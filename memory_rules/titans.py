"""Titans' neural long-term memory, with every choice the paper leaves open as a field.

    momentum_t = momentum_gate_t * momentum_{t-1} - lr_t * surprise_t
    memory_t   = (1 - decay_t) * memory_{t-1} + momentum_t
    y_t        = read(memory_t, q_t)

with the surprise the gradient of the objective at the memory before the chunk (`anchor: chunk`,
eq. 16) or before the token (`anchor: token`, eqs. 13-14). arXiv:2501.00663.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memory_rules import objectives
from memory_rules.learning import AbstractLearningRule, orthogonal_step
from memory_rules.registry import register


@register("titans", paper="arXiv:2501.00663")
@dataclass(frozen=True, kw_only=True)
class Titans(AbstractLearningRule):
    """network x depth x objective x momentum x decay x anchor x inner optimizer."""

    objective: Literal["l2", "dot", "huber", "lp"] = "l2"
    delta: float = 1.0  # huber: the error beyond which the pull stops growing
    p: float = 3.0  # lp: the power of the error
    inner: Literal["gradient", "newton_schulz"] = "gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta <= 0:
            raise ValueError(f"delta: {self.delta} must be greater than 0.")
        if self.p <= 1:
            raise ValueError(f"p: {self.p} must be greater than 1.")
        if self.inner == "newton_schulz" and not self.has_momentum:
            raise ValueError("inner: newton_schulz needs momentum; set momentum: token.")

    @property
    def nonlinear_close(self) -> bool:
        return self.inner == "newton_schulz"

    def penalty(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.objective == "huber":
            return objectives.huber(prediction, target, self.delta)
        if self.objective == "lp":
            return objectives.lp(prediction, target, self.p)
        return (objectives.l2 if self.objective == "l2" else objectives.dot)(prediction, target)

    def close_matrix(
        self, *, decayed: Tensor, linear: Tensor, momentum: Tensor | None, dual: Tensor
    ) -> tuple[Tensor, Tensor]:
        return orthogonal_step(decayed, linear, momentum), dual
