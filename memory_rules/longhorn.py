"""Longhorn: an implicit step, which no key length can make overshoot (arXiv:2407.14207).

    memory_t = argmin_W ||W - memory_{t-1}||^2 + strength_t ||k_t W - v_t||^2
             = memory_{t-1} - 2 lr_t k_t^T (k_t memory_{t-1} - v_t)
    lr_t     = 1/2 strength_t / (1 + strength_t ||k_t||^2)

The full closed form of the paper; its released model keeps the diagonal of k^T k only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_rules import objectives
from memory_rules.base import Rates
from memory_rules.gates import Gate
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register
from memory_rules.state import Inputs


@register("longhorn", paper="arXiv:2407.14207")
@dataclass(frozen=True, kw_only=True)
class Longhorn(AbstractLinearRule):
    """A linear memory and squared error; the gate is the strength, the step follows from it."""

    max_strength: float = 1.0  # the paper's sigmoid; larger trusts the newest token more

    decay = "none"

    def __post_init__(self) -> None:
        if self.max_strength <= 0:
            raise ValueError(f"max_strength: {self.max_strength} must be greater than 0.")

    @property
    def gates(self) -> Mapping[str, Gate]:
        return {"strength": Gate(high=self.max_strength, init=self.max_strength / 2)}

    def rates(self, x: Inputs) -> Rates:
        strength = x.gates["strength", "w"]
        square = x.k.to(strength.dtype).square().sum(-1)
        lr = 0.5 * strength / (1.0 + strength * square)
        return Rates(lr={"w": lr}, keep={"w": torch.ones_like(lr)})

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
