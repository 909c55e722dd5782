"""What Titans and its relatives share as fields: a memory network and how it learns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from memory_rules.dense import Dense
from memory_rules.gates import parse
from memory_rules.gradient import AbstractGradientRule
from memory_rules.networks import NETWORKS, check_size, layer_norm
from memory_rules.newton_schulz import orthogonal

MOST_PASSES = 64


@dataclass(frozen=True, kw_only=True)
class AbstractLearningRule(AbstractGradientRule):
    """A network, an inner loop and its gates; a final rule adds what it descends, and its own."""

    network: str = "mlp"  # vector | linear | mlp | swiglu | any registered network
    depth: int = 2
    expand: float = 4.0
    residual: bool = True
    norm: Literal["layer", "none"] = "layer"
    plain: bool = False  # true: the network alone, whatever residual and norm say
    momentum: str = "token"
    decay: str = "token"
    lr: str = "token"
    max_lr: float | Literal["auto"] = "auto"
    lr_scale: Literal["one_minus_momentum", "none"] = "one_minus_momentum"
    # of the gate's sigmoid: the larger, the nearer to 0 come writes that nobody asked for
    lr_power: float = field(default=1.0, metadata={"later": True})
    per_layer: bool = True
    anchor: str = "chunk"
    chunk_size: int = 16
    # last: tokens write the last matrix alone
    written: Literal["all", "last"] = field(default="all", metadata={"later": True})
    decay_towards: Literal["zero", "start"] = "zero"
    start: Literal["learned", "zero"] = "learned"
    read_at: Literal["after", "before"] = "after"
    surprise_at: Literal["memory", "decayed_memory"] = "memory"

    def __post_init__(self) -> None:
        check_learning(self)
        if self.network not in NETWORKS:
            known = ", ".join(sorted(NETWORKS))
            raise ValueError(f"network: {self.network!r} is not registered. Allowed: {known}.")
        check_size("depth", self.depth, 1, 64)
        check_size("expand", self.expand, 1 / 256, 256)
        self._check_matrices()

    def _check_matrices(self) -> None:
        """What a memory of several matrices cannot do."""
        shapes = self.shapes(64)
        if self.start == "zero" and len(shapes) > 1:
            raise ValueError(
                "start: zero; several matrices that are all zero have no gradient and stay so. "
                "Write start: learned, or network: linear."
            )
        side = {"channel": 0, "value_channel": 1}.get(self.decay)
        if side is None or self.per_layer:
            return
        if len({shapes[name][side] for name in self.writes(64)}) > 1:
            raise ValueError(
                f"per_layer: false; a {self.decay} decay cannot be shared by matrices of several "
                "widths. Write per_layer: true or decay: token."
            )

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return NETWORKS[self.network].shapes(dim, self.depth, self.expand)

    def start_std(self, name: str, dim: int) -> float:
        """Unit size where a layer norm follows.

        The slope of a layer norm is one over the size of what it norms: a small last matrix turns
        a bounded step into a huge one, and the outer gradient explodes.
        """
        normed = self.norm == "layer" and not self.plain
        last = list(self.shapes(dim))[-1]
        return 1.0 if normed and name == last else super().start_std(name, dim)

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        return self._wrap(x, NETWORKS[self.network].read(dense, x, self.depth))

    def _wrap(self, x: Tensor, y: Tensor) -> Tensor:
        """Norm and residual around what the network says of x."""
        if self.plain:
            return y
        y = layer_norm(y) if self.norm == "layer" else y
        return x + y if self.residual else y


def check_learning(rule: AbstractGradientRule) -> None:
    """The fields of Titans' learning algorithm, wherever a rule offers them.

    Raises:
        ValueError: naming the field, the problem and what would do.
    """
    parse("momentum", rule.momentum, ("token", "head"))
    parse("decay", rule.decay, ("token", "head", "channel", "value_channel"))
    if parse("lr", rule.lr, ("token", "head"))[0] == "none":
        raise ValueError("lr: none would be a step of 1 at every token. Write token or fixed:0.01.")
    if rule.max_lr != "auto" and not float(rule.max_lr) > 0:
        raise ValueError(f"max_lr: {rule.max_lr} must be greater than 0, or auto.")
    if not rule.lr_power >= 1:
        raise ValueError(f"lr_power: {rule.lr_power} must be 1 or more; 1 is a plain sigmoid.")
    if rule.chunk_size < 1:
        raise ValueError(f"chunk_size: {rule.chunk_size} is not a positive count.")
    kind, _, count = rule.anchor.partition(":")
    if kind not in ("chunk", "token", "passes") or (kind == "passes") != count.isdigit():
        raise ValueError(f"anchor: {rule.anchor!r}. Allowed: chunk, token, passes:COUNT.")
    if count and not 1 <= int(count) <= MOST_PASSES:
        raise ValueError(f"anchor: {rule.anchor!r}. Write passes:1 to passes:{MOST_PASSES}.")
    if rule.surprise_at == "decayed_memory" and rule.anchor != "token":
        raise ValueError("surprise_at: decayed_memory needs anchor: token.")
    if rule.nonlinear_close and rule.anchor != "chunk":
        raise ValueError(f"anchor: {rule.anchor!r}; a nonlinear close needs anchor: chunk.")


def orthogonal_step(decayed: Tensor, linear: Tensor, momentum: Tensor | None) -> Tensor:
    """The memory after a chunk whose accumulated surprise is orthogonalised, then added once.

    A chunk of padding alone wrote nothing: it adds nothing, whatever momentum it inherited.
    """
    if momentum is None:
        raise ValueError("momentum: a Newton-Schulz step needs momentum; set momentum: token.")
    # a lowering may round the memory it carried through padding: less than that is no write
    slack = 16.0 * torch.finfo(linear.dtype).eps * linear.abs().amax((-2, -1), keepdim=True)
    wrote = (linear - decayed).abs().amax((-2, -1), keepdim=True) > slack
    return torch.where(wrote, decayed + orthogonal(momentum), decayed)
