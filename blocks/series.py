"""A model of series: a window of one channel in patches, and a forecast of what follows it.

    x = patches of (w - shift) / scale;   y = head(norm(blocks(embed(x)))) [+ A w' + b];
    forecast = y scale + shift

with w' the normalised window, and shift and scale its mean and standard deviation, or its last
value and 1. Channels are independent: each is a sequence of its own (PatchTST, arXiv:2211.14730).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from blocks.frames import Readout
from blocks.init import Fill, constant
from blocks.model import AbstractModel
from blocks.norms import Norm, make_norm
from blocks.reads import Series

EPS = 1e-5  # of a window's variance


class SeriesModel(AbstractModel):
    """Windows [B, lookback] in, forecasts [B, 1, horizon] out.

    A state carries the memory of the blocks from window to window; each window is normalised by
    itself.

    Args:
        blocks: what the model is composed of, in order; each has its own norms and residuals.
        spec: of the ends, with all its sizes.
        dim: model width M.
        norm: the norm before the head.
        dropout: of the embedded patches, and of what enters the head.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        spec: Series,
        *,
        dim: int,
        norm: Norm = "rms",
        dropout: float = 0.0,
    ) -> None:
        assert spec.lookback is not None
        assert spec.horizon is not None
        read = spec.patches if spec.forecast == "all" else 1
        head = Readout(read * dim, spec.horizon)
        embedding = nn.Linear(spec.patch, dim)
        super().__init__(embedding, blocks, make_norm(norm, dim), head, dropout)
        self.spec, self.length, self.read = spec, spec.patches, read
        self.lookback = spec.lookback
        self.skip = Direct(spec.lookback, spec.horizon) if spec.skip != "none" else None

    def begin_at(self, weight: Tensor, bias: Tensor) -> None:
        """Set the linear map beside the blocks to one of windows without their last value.

        Under `normalise: window` a constant cannot be added to every forecast, and is left out.

        Args:
            weight: [lookback, horizon], of the window less its last value.
            bias: [horizon], added to it and to the last value.

        Raises:
            ValueError: there is no such map.
        """
        if self.skip is None:
            raise ValueError("reads.skip: none, so there is no linear map to set.")
        with torch.no_grad():
            self.skip.weight.copy_(weight.T)
            self.skip.weight[:, -1] += 1.0 - weight.sum(0).to(self.skip.weight)
            self.skip.bias.copy_(bias * (self.spec.normalise != "window"))

    def enter(self, inputs: Tensor) -> Tensor:
        """[B, lookback] -> a linear map of each normalised patch, [B, patches, M]."""
        window = self._normalised(inputs)[0]
        before = (self.spec.patches - 1) * self.spec.stride + self.spec.patch - self.lookback
        if before:  # the first value stands for those before it
            window = torch.cat([window[:, :1].expand(-1, before), window], dim=1)
        patches = window.unfold(1, self.spec.patch, self.spec.stride)
        return self.embedding(patches)

    def leave(self, x: Tensor, inputs: Tensor) -> Tensor:
        """[B, patches, M] and the windows -> [B, 1, horizon], in the windows' own scale.

        Raises:
            ValueError: fewer patches than the forecast is read from.
        """
        assert self.head is not None
        if x.shape[1] < self.read:
            raise ValueError("positions: a series model says one forecast, after its last patch.")
        window, shift, scale = self._normalised(inputs)
        said = self._dropped(self.norm(x[:, -self.read :]))
        y = self.head(said.flatten(1))
        if self.skip is not None:
            y = y + self.skip(window)
        return (y * scale + shift)[:, None]

    def example(self, batch: int, length: int) -> Tensor:
        """Windows of zeros; their length is the model's."""
        return torch.zeros(batch, self.lookback, device=self.embedding.weight.device)

    def _normalised(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The window without its shift and scale, and these: [B, lookback], [B, 1], [B, 1]."""
        window = window.to(self.embedding.weight.dtype)
        one, last = torch.ones_like(window[:, -1:]), window[:, -1:]
        if self.spec.normalise == "none":
            return window, torch.zeros_like(last), one
        if self.spec.normalise == "last":
            return window - last, last, one
        variance, mean = torch.var_mean(window, dim=1, correction=0, keepdim=True)
        scale = (variance + EPS).sqrt()
        return (window - mean) / scale, mean, scale


class Direct(nn.Linear):
    """A linear map of the whole window beside the blocks: [B, lookback] -> [B, horizon].

    It begins with zeros, which after normalisation forecasts the window's mean or last value.
    """

    def initial(self) -> dict[str, Fill]:
        """How weight and bias begin."""
        return {"weight": constant(0.0), "bias": constant(0.0)}
