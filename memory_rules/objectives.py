"""What a memory descends: attentional biases (MIRAS, arXiv:2504.13173), sums over tokens.

prediction, target: [..., d]. None has a factor 1/2, so the surprise of plain squared error is
`2 * (prediction - target)`.
"""

import torch
from torch import Tensor


def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error (Titans, arXiv:2501.00663, eq. 12)."""
    return (prediction - target).square().sum()


def dot(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the dot product: Hebbian writes, linear attention."""
    return -(prediction * target).sum()


def lp(prediction: Tensor, target: Tensor, p: float) -> Tensor:
    """The p-th power of the l_p norm of the error, p > 1 (Moneta, arXiv:2504.13173, eq. 24)."""
    return (prediction - target).abs().pow(p).sum()


def huber(prediction: Tensor, target: Tensor, delta: float) -> Tensor:
    """Squared error up to a norm of `delta`, linear beyond (Yaad, arXiv:2504.13173, eq. 26).

    ||e||^2 if ||e|| <= delta, else 2 delta ||e|| - delta^2: the pull of one token is bounded.
    """
    square = (prediction - target).square().sum(-1)
    far = square > delta * delta
    norm = torch.where(far, square, 1.0).sqrt()  # where: no infinite slope of sqrt at 0
    return torch.where(far, 2.0 * delta * norm - delta * delta, square).sum()
