"""What class a rule is in, found by asking its mathematics, and with it which chunk form is exact.

A   the error signal does not depend on the memory (one linear map, dot-product objective)
B   the error signal is affine in what the memory predicts, with one slope per token (one linear
    map, squared error), and every token takes its gradient at the current memory
C   gradients at the start of a chunk, any network;  C' refined by fixed-point passes;
D   C with a nonlinear close of the chunk
E   none of these: a gradient at every token of a network that is not linear
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule

RuleClass = Literal["A", "B", "C", "C'", "D", "E"]

SCALES = (1e-6, 1e-3, 1.0, 1e3, 1e6)  # of predictions: an error that bends shows at one of them


class Given:
    """A `dense` with one linear map whose output is given; remembers the input it saw."""

    def __init__(self, output: Tensor, slow: dict[str, Tensor]) -> None:
        self.output, self._slow = output, slow
        self.seen: list[Tensor] = []

    def __call__(self, name: str, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.output

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)


def error_signal(
    rule: AbstractGradientRule, slow: dict[str, Tensor], k: Tensor, v: Tensor
) -> Callable[[Tensor], Tensor]:
    """The map from the output of a rule's only linear map to the gradient there."""

    def loss(z: Tensor) -> Tensor:
        return rule.penalty(rule.read(Given(z, slow), k), v)

    return torch.func.grad(loss)


@lru_cache(maxsize=1024)
def classify(rule: AbstractMemoryRule) -> tuple[RuleClass, str]:
    """The class of a rule and the reason, in words."""
    if not isinstance(rule, AbstractGradientRule):
        return "E", "it defines its own step"
    if rule.nonlinear_close:
        return "D", "its chunks close with a nonlinear map"
    if rule.passes:
        return "C'", f"gradients at a chunk's start, refined by {rule.passes} fixed-point passes"
    if rule.chunked:
        return "C", f"gradients at the start of chunks of {rule.chunk_size} tokens"
    if rule.window > 1:
        return "E", "every token descends a window of gradients at the current memory"
    if len(rule.shapes(4)) > 1:
        return "E", "a gradient at every token of a network with several matrices"
    return _linear_class(rule)


def _linear_class(rule: AbstractGradientRule) -> tuple[RuleClass, str]:
    """Probe the error signal of a one-matrix rule at random outputs of many sizes, in fp64."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    dim, tokens = 4, 5
    (_, out), *_ = rule.shapes(dim).values()
    slow = {n: draw(1, width) for n, width in rule.slow_shapes(dim).items()}
    signal = error_signal(rule, slow, draw(1, tokens, dim), draw(1, tokens, dim))
    zero = torch.zeros(1, tokens, out, dtype=torch.float64)
    at_zero, slope = signal(zero), slope_of(signal, zero)
    samples = [scale * draw(1, tokens, out) for scale in SCALES for _ in range(3)]

    def is_always(form: Callable[[Tensor], Tensor]) -> bool:
        return all(torch.allclose(signal(z), form(z), rtol=1e-9, atol=1e-12) for z in samples)

    if is_always(lambda z: at_zero.expand_as(z)):
        return "A", "its error signal does not depend on the memory"
    if is_always(lambda z: at_zero + slope * z):
        if rule.side == "value":
            return "E", "a decay per value channel has a triangular system per channel"
        return "B", "its error signal is affine in what a linear memory predicts"
    if is_always(lambda z: 2 * signal(z / 2) - at_zero):
        return "E", "a gradient at every token, and its error signal has not one slope per token"
    return "E", "a gradient at every token, and its error signal is not affine in the memory"


def slope_of(signal: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """How much the error grows with the prediction, per token: [..., 1]."""
    pull = torch.func.vjp(signal, at)[1]
    return pull(torch.ones_like(at))[0][..., :1]
