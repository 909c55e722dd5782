"""Momentum delta: linear Titans with a gradient at every token (arXiv:2501.00663, eqs. 32-33).

    surprise_t = 2 k_t^T (k_t memory_{t-1} - v_t)
    momentum_t = momentum_gate_t momentum_{t-1} - lr_t surprise_t
    memory_t   = (1 - decay_t) memory_{t-1} + momentum_t

With momentum 0 and `surprise_at: decayed_memory` it is gated delta.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memory_rules import objectives
from memory_rules.learning import check_learning
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register


@register("momentum_delta", paper="arXiv:2501.00663")
@dataclass(frozen=True, kw_only=True)
class MomentumDelta(AbstractLinearRule):
    """A linear memory, squared error, momentum and decay, exact token by token."""

    momentum: str = "token"
    decay: str = "token"
    lr: str = "token"
    max_lr: float | Literal["auto"] = "auto"  # auto: 1/2
    lr_scale: Literal["one_minus_momentum", "none"] = "one_minus_momentum"
    decay_towards: Literal["zero", "start"] = "zero"
    start: Literal["learned", "zero"] = "zero"
    read_at: Literal["after", "before"] = "after"
    surprise_at: Literal["memory", "decayed_memory"] = "memory"

    def __post_init__(self) -> None:
        check_learning(self)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
