"""What a rule reads and descends, as the few words that a kernel knows; found by asking the rule.

Every memory that kernels know is described and tried: at random inputs the description must say
what `read` says, and pull as the objective pulls. So a rule of anybody's is served if it is one of
these, whatever its name and fields are.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules import AbstractGradientRule
from memory_rules.dense import Plain
from memory_rules.networks import layer_norm

DIM, TOKENS = 4, 6  # of the trial
FAR = 1e3  # an error that every threshold of an objective is below


class Known(NamedTuple):
    """A memory network and what it descends.

    names: of its matrices, one (`x w`) or two (`gelu(x w1) w2`); norm: a layer norm after them;
    residual: the input added last; objective: l2, dot or huber; delta: of huber.
    """

    names: tuple[str, ...]
    norm: bool
    residual: bool
    objective: str
    delta: float = 0.0

    def read(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """[..., K] -> [..., V]; weights [..., d_in, d_out]."""
        *first, last = self.names
        y = F.gelu(x @ weights[first[0]]) if first else x
        y = y @ weights[last]
        y = layer_norm(y) if self.norm else y
        return x + y if self.residual else y

    def pull(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Gradient of the objective to the prediction, per token."""
        if self.objective == "dot":
            return -target
        error = prediction - target
        if self.objective == "l2":
            return 2.0 * error
        norm = error.norm(dim=-1, keepdim=True)
        return 2.0 * error * (self.delta / norm).clamp(max=1.0)


@lru_cache(maxsize=1024)
def recognise(rule: AbstractGradientRule) -> tuple[Known | None, str]:
    """The description of a rule's memory, or None and the reason."""
    if rule.slow_shapes(DIM):
        return None, "its network has weights that are not written"
    shapes = rule.shapes(DIM)
    sizes = [size for shape in shapes.values() for size in shape]
    if len(shapes) > 2 or sizes[0] != DIM or sizes[-1] != DIM or len(set(sizes[1:-1])) > 1:
        return None, "its network is not one matrix, or two with as many channels between them"
    trial = _Trial(rule)
    found = [known for known in _descriptions(trial) if trial.reads_as(known)]
    if not found:
        return None, "its network is not x w or gelu(x w1) w2, with or without norm and residual"
    found = [known for known in found if trial.pulls_as(known)]
    if not found:
        return None, "its objective is not l2, dot or huber"
    return found[0], ""


class _Trial:
    """A rule at random numbers, in fp64."""

    def __init__(self, rule: AbstractGradientRule) -> None:
        self.rule, generator = rule, torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.weights = {n: draw(1, *shape) for n, shape in rule.shapes(DIM).items()}
        self.x, self.target = draw(1, TOKENS, DIM), draw(1, TOKENS, DIM)
        scales = torch.logspace(-3, 3, TOKENS, dtype=torch.float64).unsqueeze(-1)
        self.prediction = self.target + scales * draw(1, TOKENS, DIM)

    def pull(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.func.grad(self.rule.penalty)(prediction, target)

    def reads_as(self, known: Known) -> bool:
        y = self.rule.read(Plain(self.weights, {}), self.x)
        return torch.allclose(y, known.read(self.weights, self.x), rtol=0, atol=1e-12)

    def pulls_as(self, known: Known) -> bool:
        wanted = self.pull(self.prediction, self.target)
        found = known.pull(self.prediction, self.target)
        return torch.allclose(found, wanted, rtol=1e-10, atol=1e-12)


def _descriptions(trial: _Trial) -> Iterator[Known]:
    names, at = tuple(trial.weights), torch.zeros(1, 1, DIM, dtype=torch.float64)
    delta = 0.5 * trial.pull(at + FAR, at).norm().item()
    for norm, residual in product((False, True), repeat=2):
        for objective in ("l2", "dot", "huber"):
            yield Known(names, norm, residual, objective, delta if objective == "huber" else 0.0)
