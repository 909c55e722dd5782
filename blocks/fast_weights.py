"""What a memory is born with: learned starting weights, and weights that no token writes."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from blocks.init import Fill, constant, normal


class StartingMemory(nn.ParameterDict):
    """The memory before the first token, per head: matrix -> [H, d_in, d_out]."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]], heads: int) -> None:
        """shapes: matrix -> (d_in, d_out) of one head."""
        super().__init__({n: nn.Parameter(torch.empty(heads, *s)) for n, s in shapes.items()})

    def initial(self) -> Mapping[str, Fill]:
        """Each head's network as a linear layer begins."""
        return {n: normal(1.0 / math.sqrt(w.shape[1])) for n, w in self.items()}


class SlowWeights(nn.ParameterDict):
    """Learned vectors of the memory network that are not written at test time: [H, width]."""

    def __init__(self, widths: Mapping[str, int], heads: int) -> None:
        """widths: name -> width of one head's vector."""
        super().__init__({n: nn.Parameter(torch.empty(heads, w)) for n, w in widths.items()})

    def initial(self) -> Mapping[str, Fill]:
        """Zeros: a rule stores a gain as its distance from 1."""
        return dict.fromkeys(self, constant(0.0))
