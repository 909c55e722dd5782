"""No mixer: the feed-forward alone. y = x + feedforward(norm(x))."""

import torch
from tensordict import TensorClass
from torch import Tensor, nn

from blocks.feedforward import FeedForwardResidual
from blocks.norms import Norm
from blocks.spec import Identity
from memory_rules import Scan, recurrent


class NoState(TensorClass):
    """A block that remembers nothing: nothing [B, 0]; batch_size [B]."""

    nothing: Tensor

    def num_bytes(self) -> int:
        """Nothing is kept."""
        return 0


class IdentityBlock(nn.Module):
    """Feed-forward; x [B, T, M] -> y [B, T, M]."""

    bodies: tuple[str, ...] = ("forward",)

    def __init__(
        self,
        spec: Identity,
        dim: int,
        *,
        rope: bool,
        persistent_tokens: int,
        depth: int,
        scan: Scan = recurrent,
        norm: Norm = "rms",
    ) -> None:
        """A block of width `dim`; of the other arguments only `norm` has a part here."""
        super().__init__()
        self.feedforward = FeedForwardResidual(spec.feedforward, dim, norm=norm)

    def start(self, batch: int) -> NoState:
        """The state of `batch` sequences: empty."""
        return NoState(nothing=torch.zeros(batch, 0), batch_size=[batch])

    def forward(
        self, x: Tensor, state: NoState, mask: Tensor | None = None
    ) -> tuple[Tensor, NoState]:
        """The next tokens, each by itself."""
        return self.feedforward(x), state
