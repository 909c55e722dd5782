"""RetNet's retention: linear attention that forgets at a fixed rate per head (arXiv:2307.08621).

    memory_t = (1 - decay_h) memory_{t-1} + k_t^T v_t        decay_h = 2^-(exponent + h)

h counts heads from 0: the first head forgets fastest. The paper's rotation of q and k, its group
norm and its swish gate belong to the layer around the rule.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memory_rules import objectives
from memory_rules.base import Rates
from memory_rules.linear import AbstractLinearRule
from memory_rules.registry import register
from memory_rules.state import Inputs


@register("retention", paper="arXiv:2307.08621")
@dataclass(frozen=True, kw_only=True)
class Retention(AbstractLinearRule):
    """Dot-product objective; the decay depends on the head alone, so no gate is learned."""

    exponent: float = 5.0  # 2^-exponent is what the first head forgets per token

    lr = "none"
    decay = "none"  # as a gate: `rates` says it instead

    def __post_init__(self) -> None:
        if self.exponent < 0:
            raise ValueError(f"exponent: {self.exponent} must be 0 or more.")

    def rates(self, x: Inputs) -> Rates:
        one = torch.ones_like(x.k[..., 0], dtype=torch.promote_types(x.k.dtype, torch.float32))
        head = torch.arange(one.shape[-1], dtype=one.dtype, device=one.device)
        return Rates(lr={"w": one}, keep={"w": one - torch.exp2(-(head + self.exponent))})

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.dot(prediction, target)
