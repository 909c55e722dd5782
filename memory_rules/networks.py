"""Memory networks (MIRAS: memory architecture): shapes of the fast weights and how they are read.

`shapes(dim)` is of one head; `read(dense, x)` acts on the last axis of x: [..., dim] -> [..., dim].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules.dense import Dense

Shapes = Mapping[str, tuple[int, int]]


def layer_norm(x: Tensor) -> Tensor:
    """Zero mean, unit variance over the last axis, without gain or offset."""
    return F.layer_norm(x, x.shape[-1:])


def append_one(x: Tensor) -> Tensor:
    """x with a constant 1 after its last channel: the last row of a matrix is then a bias."""
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A memory network of a given depth and expansion: fast weights and the map they make."""

    shapes: Callable[[int, int, float], Shapes]  # dim, depth, expand
    read: Callable[[Dense, Tensor, int], Tensor]  # dense, x, depth


def _vector_shapes(dim: int, depth: int, expand: float) -> Shapes:
    return {"w": (1, dim)}


def _vector(dense: Dense, x: Tensor, depth: int) -> Tensor:
    return x * dense("w", torch.ones_like(x[..., :1]))


def _linear_shapes(dim: int, depth: int, expand: float) -> Shapes:
    return {"w": (dim, dim)}


def _linear(dense: Dense, x: Tensor, depth: int) -> Tensor:
    return dense("w", x)


def _mlp_shapes(dim: int, depth: int, expand: float) -> Shapes:
    hidden = max(1, round(dim * expand))
    widths = [dim, *[hidden] * (depth - 1), dim]
    return {f"w{i + 1}": (widths[i], widths[i + 1]) for i in range(depth)}


def _mlp(dense: Dense, x: Tensor, depth: int) -> Tensor:
    # names from a range: where one process compiles two depths, `depth` itself is a symbol
    first, *others = [f"w{i + 1}" for i in range(depth)]
    y = dense(first, x)
    for name in others:
        y = dense(name, F.gelu(y))
    return y


def _swiglu_shapes(dim: int, depth: int, expand: float) -> Shapes:
    hidden = max(1, round(dim * expand))
    return {"gate": (dim, hidden), "up": (dim, hidden), "down": (hidden, dim)}


def _swiglu(dense: Dense, x: Tensor, depth: int) -> Tensor:
    return dense("down", F.silu(dense("gate", x)) * dense("up", x))


NETWORKS: dict[str, Network] = {
    "vector": Network(shapes=_vector_shapes, read=_vector),
    "linear": Network(shapes=_linear_shapes, read=_linear),
    "mlp": Network(shapes=_mlp_shapes, read=_mlp),
    "swiglu": Network(shapes=_swiglu_shapes, read=_swiglu),
}


def register_network(name: str, network: Network) -> None:
    """Make a memory network of one's own a legal value of `network`."""
    if name in NETWORKS:
        raise ValueError(f"network: {name!r} is already registered.")
    NETWORKS[name] = network


def check_size(field: str, value: float, least: float, most: float) -> None:
    """Refuse a size that nobody could run.

    Raises:
        ValueError: naming the field, the problem and what would do.
    """
    if not least <= value <= most:
        raise ValueError(f"{field}: {value} cannot be built. Write {least:g} to {most:g}.")
