"""A model of frames: vectors of numbers instead of tokens, and a stream of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blocks.init import Fill, constant, normal
from blocks.model import AbstractModel
from blocks.norms import Norm, make_norm


class FrameModel(AbstractModel):
    """Frames [B, T, F] in, `outputs` numbers after each out: [B, T, outputs].

    Args:
        blocks: what the model is composed of, in order; each has its own norms and residuals.
        width: numbers of a frame, F.
        outputs: numbers that are said after each.
        dim: model width M.
        norm: the norm before the head.
        dropout: of the embedded frames, and of what enters the head.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        *,
        width: int,
        outputs: int,
        dim: int,
        norm: Norm = "rms",
        dropout: float = 0.0,
    ) -> None:
        head = Readout(dim, outputs)
        super().__init__(nn.Linear(width, dim), blocks, make_norm(norm, dim), head, dropout)
        self.width = width

    def enter(self, inputs: Tensor) -> Tensor:
        """A linear map of each frame."""
        return self.embedding(inputs.to(self.embedding.weight.dtype))

    def leave(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Final norm and head: [..., M] -> [..., outputs]."""
        assert self.head is not None
        return self.head(self._dropped(self.norm(x)))

    def example(self, batch: int, length: int) -> Tensor:
        """Empty frames."""
        return torch.zeros(batch, length, self.width, device=self.embedding.weight.device)


class Readout(nn.Linear):
    """A head with a bias, small at the start: what is said begins near zero."""

    def initial(self) -> dict[str, Fill]:
        """How weight and bias begin."""
        return {"weight": normal(0.02), "bias": constant(0.0)}
