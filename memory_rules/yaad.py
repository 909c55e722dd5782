"""Yaad: a deep memory that no outlier can overwrite (MIRAS, arXiv:2504.13173, eq. 26).

    memory_t = (1 - decay_t) memory_{t-1} - lr_t surprise_t
    surprise = gradient of ||e||^2               where ||e|| <= delta,   e = read(k) - v
               gradient of 2 delta ||e||         beyond

`delta` is one number of the spec; the paper makes it a function of the token.
"""

from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.learning import AbstractLearningRule
from memory_rules.registry import register


@register("yaad", paper="arXiv:2504.13173")
@dataclass(frozen=True, kw_only=True)
class Yaad(AbstractLearningRule):
    """Huber objective, decay, no momentum."""

    delta: float = 1.0  # the norm of the error beyond which the pull stops growing
    momentum: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta <= 0:
            raise ValueError(f"delta: {self.delta} must be greater than 0.")

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.huber(prediction, target, self.delta)
