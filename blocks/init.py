"""Initial weights: every parameter from its own generator, keyed by the seed and its name.

Removing or adding a module therefore changes no other's weights. Linear weights are truncated
normals of standard deviation 1/sqrt(fan_in), those that write to the residual stream smaller by
1/sqrt(2 depth); embeddings have 0.02; norms are ones, biases zeros. A module with parameters of its
own says how each begins in a method `initial() -> {name: Fill}`.
"""

import hashlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from blocks.norms import LayerNorm, RMSNorm

Fill = Callable[[Tensor, torch.Generator], None]
"""Fills a CPU tensor in place, drawing from nothing but the generator."""


class ResidualLinear(nn.Linear):
    """A projection whose output is added to the residual stream."""


def normal(std: float) -> Fill:
    """A normal distribution, cut at three standard deviations."""

    def fill(x: Tensor, generator: torch.Generator) -> None:
        nn.init.trunc_normal_(x, std=std, a=-3 * std, b=3 * std, generator=generator)

    return fill


def uniform(bound: float) -> Fill:
    """Uniform in [-bound, bound)."""

    def fill(x: Tensor, generator: torch.Generator) -> None:
        x.uniform_(-bound, bound, generator=generator)

    return fill


def constant(value: float | Tensor) -> Fill:
    """A number, or a tensor that broadcasts to the parameter."""

    def fill(x: Tensor, generator: torch.Generator) -> None:
        x.copy_(torch.as_tensor(value).expand_as(x))

    return fill


def initialise(model: nn.Module, seed: int) -> None:
    """Give every parameter its initial value; the same on every device and in every precision.

    Raises:
        ValueError: a module has a parameter and does not say how it begins.
    """
    depth = len(getattr(model, "blocks", ())) or 1
    fills = dict(_fills(model, depth))
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # a shared one appears once
            if isinstance(parameter, FakeTensor):  # has a shape and no numbers
                continue
            drawn = torch.empty(parameter.shape, dtype=torch.float32)
            fills[name](drawn, generator_of(seed, name))
            parameter.copy_(drawn)


def generator_of(seed: int, name: str) -> torch.Generator:
    """A CPU generator that depends on the seed and the name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _fills(model: nn.Module, depth: int) -> Iterator[tuple[str, Fill]]:
    for path, module in model.named_modules():
        said = _said(module, depth)
        for name, _ in module.named_parameters(recurse=False):
            where = f"{path}.{name}" if path else name
            if name not in said:
                raise ValueError(
                    f"{where}: {type(module).__name__} does not say how it begins. "
                    "Give it a method initial() -> {name: Fill} (blocks/init.py)."
                )
            yield where, said[name]


def _said(module: nn.Module, depth: int) -> dict[str, Fill]:
    """What the module says itself, else what is known of its class."""
    if (own := getattr(module, "initial", None)) is not None:
        return dict(own())
    if isinstance(module, nn.Linear):
        shrink = math.sqrt(2 * depth) if isinstance(module, ResidualLinear) else 1.0
        return {
            "weight": normal(1.0 / math.sqrt(module.in_features) / shrink),
            "bias": constant(0.0),
        }
    if isinstance(module, nn.Embedding):
        return {"weight": normal(0.02)}
    if isinstance(module, RMSNorm | LayerNorm | nn.LayerNorm | nn.RMSNorm):
        return {"weight": constant(1.0), "bias": constant(0.0)}
    return {}
