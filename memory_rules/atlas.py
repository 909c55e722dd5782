"""Atlas: Omega on polynomial features, with an orthogonalised step (arXiv:2505.23735).

    surprise_t = sum_{lag < window} weight_{t, lag} gradient of ||read(k_{t-lag}) - v_{t-lag}||^2
    momentum_t = momentum_gate_t momentum_{t-1} - lr_t surprise_t
    memory_t   = (1 - decay_t) memory_{t-1} + momentum_t                 inside a chunk
    memory_C   = retained memory_0 + NewtonSchulz(momentum_C)            when the chunk ends

read sees [k, k^2 / sqrt(2!), ...], elementwise powers up to `degree` (the paper's features also
hold products of different channels). Five Newton-Schulz steps; the result keeps the norm of
momentum_C, so that lr still sets the size of the step.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memory_rules.learning import orthogonal_step
from memory_rules.registry import register
from memory_rules.windowed import AbstractWindowRule


@register("atlas", paper="arXiv:2505.23735")
@dataclass(frozen=True, kw_only=True)
class Atlas(AbstractWindowRule):
    """A window of errors, momentum, decay; Newton-Schulz at the chunk boundary."""

    degree: int = 2

    nonlinear_close: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.has_momentum:
            raise ValueError("momentum: none; the Newton-Schulz step needs it, set token.")

    def close_matrix(
        self, *, decayed: Tensor, linear: Tensor, momentum: Tensor | None, dual: Tensor
    ) -> tuple[Tensor, Tensor]:
        return orthogonal_step(decayed, linear, momentum), dual
