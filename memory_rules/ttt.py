"""What TTT-Linear and TTT-MLP share: plain descent on a normed residual memory.

    y = x + gain * LN(net(x)) + offset        surprise: the gradient of ||y(k) - v||^2

which is the published reconstruction of v - k by the normed part alone. Biases of the network are
written too: they are the last row of each matrix, met by a constant 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memory_rules import objectives
from memory_rules.base import Rates
from memory_rules.dense import Dense
from memory_rules.gates import parse
from memory_rules.gradient import AbstractGradientRule
from memory_rules.networks import layer_norm
from memory_rules.state import Inputs


@dataclass(frozen=True, kw_only=True)
class AbstractTtt(AbstractGradientRule):
    """No momentum, no decay; the layer norm's gain and offset are learned but never written."""

    lr: str = "token"
    max_lr: float = 1.0  # of the published step, which is divided by the width of a head
    chunk_size: int = 16
    start: Literal["learned", "zero"] = "learned"
    read_at: Literal["after", "before"] = "after"

    momentum = "none"
    decay = "none"

    def __post_init__(self) -> None:
        parse("lr", self.lr, ("token", "head"))
        if self.max_lr <= 0:
            raise ValueError(f"max_lr: {self.max_lr} must be greater than 0.")
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size: {self.chunk_size} is not a positive count.")

    def slow_shapes(self, dim: int) -> Mapping[str, int]:
        return {"gain": dim, "offset": dim}

    def rates(self, x: Inputs) -> Rates:
        """Published: descent of 1/2 ||.||^2 with step lr / dim; ours has no 1/2."""
        rates = super().rates(x)
        scale = 0.5 / x.k.shape[-1]
        return rates._replace(lr={n: scale * lr for n, lr in rates.lr.items()})

    def network(self, dense: Dense, x: Tensor) -> Tensor:
        """The fast network before the norm: [..., K] -> [..., V]."""
        raise NotImplementedError(f"{type(self).__name__} does not say its network")

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        # gain is stored as its distance from 1, so that slow weights of zero are a plain norm
        normed = layer_norm(self.network(dense, x))
        return x + (1.0 + dense.slow("gain")) * normed + dense.slow("offset")

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        return objectives.l2(prediction, target)
