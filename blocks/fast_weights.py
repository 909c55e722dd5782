"""What a memory is born with: learned starting weights, and weights that no token writes."""

from collections.abc import Mapping

import torch
from torch import nn

from blocks.init import Fill, constant, normal
from memory_rules import AbstractMemoryRule


class StartingMemory(nn.ParameterDict):
    """The memory before the first token, per head: matrix -> [H, d_in, d_out]."""

    def __init__(self, rule: AbstractMemoryRule, width: int, heads: int) -> None:
        """The starting memory of a rule, for heads of a width; empty if it starts at zero."""
        shapes = rule.shapes(width) if rule.start == "learned" else {}
        super().__init__({n: nn.Parameter(torch.empty(heads, *s)) for n, s in shapes.items()})
        self.stds = {n: rule.start_std(n, width) for n in shapes}

    def initial(self) -> Mapping[str, Fill]:
        """As large as the rule says."""
        return {n: normal(std) for n, std in self.stds.items()}


class SlowWeights(nn.ParameterDict):
    """Learned vectors of the memory network that are not written at test time: [H, width]."""

    def __init__(self, widths: Mapping[str, int], heads: int) -> None:
        """widths: name -> width of one head's vector."""
        super().__init__({n: nn.Parameter(torch.empty(heads, w)) for n, w in widths.items()})

    def initial(self) -> Mapping[str, Fill]:
        """Zeros: a rule stores a gain as its distance from 1."""
        return dict.fromkeys(self, constant(0.0))
