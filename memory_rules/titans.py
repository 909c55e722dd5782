"""Titans' neural long-term memory, with every choice the paper leaves open as a field.

    momentum_t = momentum_gate_t * momentum_{t-1} - lr_t * surprise_t
    memory_t   = (1 - decay_t) * memory_{t-1} + momentum_t
    y_t        = read(memory_t, q_t)

with the surprise the gradient of the objective at the memory before the chunk (`anchor: chunk`,
eq. 16) or before the token (`anchor: token`, eqs. 13-14). arXiv:2501.00663.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memory_rules import objectives
from memory_rules.base import AbstractGradientRule
from memory_rules.dense import Dense
from memory_rules.gates import parse
from memory_rules.networks import NETWORKS, layer_norm
from memory_rules.newton_schulz import orthogonal
from memory_rules.registry import register


@register("titans", paper="arXiv:2501.00663")
@dataclass(frozen=True, kw_only=True)
class Titans(AbstractGradientRule):
    """network x depth x objective x momentum x decay x anchor x inner optimizer."""

    network: str = "mlp"  # vector | linear | mlp | swiglu | any registered network
    depth: int = 2
    expand: float = 4.0
    residual: bool = True
    norm: Literal["layer", "none"] = "layer"
    plain: bool = False  # true: the network alone, whatever residual and norm say
    objective: Literal["l2", "dot", "huber", "lp"] = "l2"
    delta: float = 1.0  # huber: the error beyond which the pull stops growing
    p: float = 3.0  # lp: the power of the error
    momentum: str = "token"
    decay: str = "token"
    lr: str = "token"
    max_lr: float | Literal["auto"] = "auto"
    lr_scale: Literal["one_minus_momentum", "none"] = "one_minus_momentum"
    per_layer: bool = True
    anchor: str = "chunk"
    chunk_size: int = 16
    decay_towards: Literal["zero", "start"] = "zero"
    start: Literal["learned", "zero"] = "learned"
    read_at: Literal["after", "before"] = "after"
    surprise_at: Literal["memory", "decayed_memory"] = "memory"
    inner: Literal["gradient", "newton_schulz"] = "gradient"

    def __post_init__(self) -> None:
        check_learning(self)
        if self.network not in NETWORKS:
            known = ", ".join(sorted(NETWORKS))
            raise ValueError(f"network: {self.network!r} is not registered. Allowed: {known}.")
        if self.depth < 1:
            raise ValueError(f"depth: {self.depth} is not a positive count.")
        if self.expand <= 0:
            raise ValueError(f"expand: {self.expand} must be greater than 0.")
        if self.delta <= 0:
            raise ValueError(f"delta: {self.delta} must be greater than 0.")
        if self.p <= 1:
            raise ValueError(f"p: {self.p} must be greater than 1.")
        if self.inner == "newton_schulz" and not self.has_momentum:
            raise ValueError("inner: newton_schulz needs momentum; set momentum: token.")

    @property
    def nonlinear_close(self) -> bool:
        return self.inner == "newton_schulz"

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return NETWORKS[self.network].shapes(dim, self.depth, self.expand)

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        y = NETWORKS[self.network].read(dense, x, self.depth)
        if self.plain:
            return y
        y = layer_norm(y) if self.norm == "layer" else y
        return x + y if self.residual else y

    def penalty(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.objective == "huber":
            return objectives.huber(prediction, target, self.delta)
        if self.objective == "lp":
            return objectives.lp(prediction, target, self.p)
        return (objectives.l2 if self.objective == "l2" else objectives.dot)(prediction, target)

    def close_matrix(
        self, *, decayed: Tensor, linear: Tensor, momentum: Tensor | None, dual: Tensor
    ) -> tuple[Tensor, Tensor]:
        assert momentum is not None
        return decayed + orthogonal(momentum), dual


def check_learning(rule: AbstractGradientRule) -> None:
    """The fields of Titans' learning algorithm, wherever a rule offers them.

    Raises:
        ValueError: naming the field, the problem and what would do.
    """
    parse("momentum", rule.momentum, ("token", "head"))
    parse("decay", rule.decay, ("token", "head", "channel", "value_channel"))
    parse("lr", rule.lr, ("token", "head"))
    if rule.max_lr != "auto" and not float(rule.max_lr) > 0:
        raise ValueError(f"max_lr: {rule.max_lr} must be greater than 0, or auto.")
    if rule.chunk_size < 1:
        raise ValueError(f"chunk_size: {rule.chunk_size} is not a positive count.")
    kind, _, count = rule.anchor.partition(":")
    if kind not in ("chunk", "token", "passes") or (kind == "passes") != count.isdigit():
        raise ValueError(f"anchor: {rule.anchor!r}. Allowed: chunk, token, passes:COUNT.")
    if rule.surprise_at == "decayed_memory" and rule.anchor != "token":
        raise ValueError("surprise_at: decayed_memory needs anchor: token.")
    if rule.nonlinear_close and rule.anchor != "chunk":
        raise ValueError(f"anchor: {rule.anchor!r}; a nonlinear close needs anchor: chunk.")
