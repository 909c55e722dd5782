"""No mixer: the feed-forward alone. y = x + feedforward(norm(x))."""

import torch
from tensordict import TensorClass
from torch import Tensor

from blocks.block import Block, Setting
from blocks.spec import Identity


class NoState(TensorClass):
    """A block that remembers nothing: nothing [B, 0]; batch_size [B]."""

    nothing: Tensor

    def num_bytes(self) -> int:
        """Nothing is kept."""
        return 0


class IdentityBlock(Block):
    """Feed-forward; x [B, T, M] -> y [B, T, M]."""

    def __init__(self, spec: Identity, setting: Setting) -> None:
        super().__init__(spec, setting)

    def start(self, batch: int) -> NoState:
        """The state of `batch` sequences: empty."""
        return NoState(nothing=torch.zeros(batch, 0), batch_size=[batch])

    def forward(
        self, x: Tensor, state: NoState, mask: Tensor | None = None
    ) -> tuple[Tensor, NoState]:
        """The next tokens, each by itself."""
        return self.feedforward(x), state
