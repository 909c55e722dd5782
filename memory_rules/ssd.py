"""Mamba-2's state space duality: linear attention with a scalar decay per token (arXiv:2405.21060).

    memory_t = exp(-step_t rate) memory_{t-1} + step_t k_t^T v_t

step_t = softplus(.) per token and head, rate = softplus(.) per head: a large step forgets much and
writes much. (The paper writes A = -rate, delta = step, B = k, C = q, x = v.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from memory_rules import objectives
from memory_rules.base import Rates
from memory_rules.gates import Gate
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register
from memory_rules.state import Inputs


@register("ssd", paper="arXiv:2405.21060")
@dataclass(frozen=True, kw_only=True)
class Ssd(AbstractLinearRule):
    """Dot-product objective; one gate, the step, scales the write and the decay alike."""

    step_init: float = 0.05
    rate_init: float = 1.0

    lr = "none"  # as gates of their own: `rates` derives both from the step
    decay = "none"

    def __post_init__(self) -> None:
        for name in ("step_init", "rate_init"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be greater than 0.")

    @property
    def gates(self) -> Mapping[str, Gate]:
        return {
            "step": Gate(high=inf, init=self.step_init),
            "rate": Gate(kind="head", high=inf, init=self.rate_init),
        }

    def rates(self, x: Inputs) -> Rates:
        step, rate = x.gates["step", "w"], x.gates["rate", "w"]
        return Rates(lr={"w": step}, keep={"w": torch.exp(-step * rate)})

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.dot(prediction, target)
