"""Gated linear attention: each key channel forgets at its own pace (arXiv:2312.06635).

    memory_t = diag(1 - decay_t) memory_{t-1} + k_t^T v_t        decay_t in [0, 1]^d_key

The paper's 1 - decay = sigmoid(.)^(1/16) is one way to start near 1; here the gate starts at a
decay of 0.01.
"""

from dataclasses import dataclass

from torch import Tensor

from memory_rules import objectives
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register


@register("gla", paper="arXiv:2312.06635")
@dataclass(frozen=True, kw_only=True)
class Gla(AbstractLinearRule):
    """Dot-product objective; the decay is a vector over the rows of the memory."""

    lr = "none"
    decay = "channel"

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.dot(prediction, target)
