"""Learned positional embeddings, or a learned cycle, added to the tokens (arXiv:1810.04805).

x' = x + dropout(p[t mod period]);   y = x' + feedforward(norm(x'))

Rotation reaches what attention compares and nothing else; a memory is told here. A period that no
sequence exceeds gives every place a vector of its own; a shorter one is a cycle (24 hours, three
bases of a codon), and a stream can run on for ever.
"""

import torch
from tensordict import TensorClass
from torch import Tensor, nn

from blocks.block import Block, Setting
from blocks.rope import places
from blocks.spec import Positions


class Counted(TensorClass):
    """position: [B] int64, tokens seen, padding not counted; batch_size [B]."""

    position: Tensor

    def num_bytes(self) -> int:
        """Bytes per sequence that a stream must keep."""
        return self.position.element_size()


class PositionsBlock(Block):
    """Positions and feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Positions, setting: Setting) -> None:
        super().__init__(spec, setting)
        self.place = nn.Embedding(spec.period, setting.dim)
        self.dropout = nn.Dropout(spec.dropout)

    def start(self, batch: int) -> Counted:
        """The state of `batch` sequences before their first token."""
        device = self.place.weight.device
        position = torch.zeros(batch, dtype=torch.int64, device=device)
        return Counted(position=position, batch_size=[batch])

    def forward(
        self, x: Tensor, state: Counted, mask: Tensor | None = None
    ) -> tuple[Tensor, Counted]:
        """The next tokens; mask [B, T] bool is False where a token is padding."""
        length = x.shape[1]
        at = places(state.position, length, mask) % self.place.num_embeddings
        position = state.position + (length if mask is None else mask.sum(dim=1))
        return self.feedforward(x + self.dropout(self.place(at))), state.replace(position=position)
