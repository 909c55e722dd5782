"""What a model is trained on: a sum over scored targets, and how many of them a mean is over."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # a target with this value is not scored


class Loss(Protocol):
    """A loss of a task: sums, so that accumulated batches give the mean over all of them."""

    def summed(self, outputs: Tensor, targets: Tensor, *, stacked: bool = False) -> Tensor:
        """The loss summed over the scored targets, in fp32 at least.

        Args:
            outputs: of the model.
            targets: of the batch.
            stacked: keep the first axis.

        Returns:
            A scalar, or [R] where the first axis, R, is kept.
        """
        ...

    def scored(self, targets: Tensor) -> int:
        """How many targets there are to be the mean over."""
        ...


class CrossEntropy:
    """Nats per token: outputs [..., L], targets [...] int64; -100 is not scored."""

    def summed(self, outputs: Tensor, targets: Tensor, *, stacked: bool = False) -> Tensor:
        """See `Loss`."""
        each = F.cross_entropy(
            _wide(outputs).flatten(0, -2),
            targets.flatten(),
            ignore_index=IGNORE,
            reduction="none" if stacked else "sum",
        )
        return each.view(targets.shape[0], -1).sum(-1) if stacked else each

    def scored(self, targets: Tensor) -> int:
        """Targets that are not -100."""
        return int((targets != IGNORE).sum())


class Bernoulli:
    """Nats per frame, summed over its keys: outputs [..., F] logits, targets [..., F] 0.0 or 1.0.

    A frame whose targets are all -100 is not scored.
    """

    def summed(self, outputs: Tensor, targets: Tensor, *, stacked: bool = False) -> Tensor:
        """See `Loss`."""
        outputs = _wide(outputs)
        live = (targets != IGNORE).to(outputs.dtype)
        wanted = targets.to(outputs.dtype) * live
        each = F.binary_cross_entropy_with_logits(outputs, wanted, weight=live, reduction="none")
        return each.flatten(1).sum(-1) if stacked else each.sum()

    def scored(self, targets: Tensor) -> int:
        """Frames that are not all -100."""
        return int((targets != IGNORE).any(-1).sum())


class Distance:
    """Error per value: outputs and targets of one shape, every value scored.

    Args:
        kind: squared, absolute, or huber (squared up to 1, then absolute; half of both).
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def summed(self, outputs: Tensor, targets: Tensor, *, stacked: bool = False) -> Tensor:
        """See `Loss`."""
        outputs = _wide(outputs)
        each = _DISTANCES[self.kind](outputs, targets.to(outputs.dtype), reduction="none")
        return each.flatten(1).sum(-1) if stacked else each.sum()

    def scored(self, targets: Tensor) -> int:
        """All of them."""
        return targets.numel()


_DISTANCES = {"squared": F.mse_loss, "absolute": F.l1_loss, "huber": F.huber_loss}


def _wide(outputs: Tensor) -> Tensor:
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


CROSS_ENTROPY: Loss = CrossEntropy()
BERNOULLI: Loss = Bernoulli()
