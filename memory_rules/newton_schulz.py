"""Newton-Schulz: an approximate orthogonal factor from matrix products alone (Muon's iteration)."""

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """x with its singular values brought near each other, keeping its Frobenius norm.

    Atlas (arXiv:2505.23735) steps along the orthogonal factor alone; keeping the norm leaves the
    size of the step to the gates and makes a vanishing surprise a vanishing step.

    Args:
        x: [..., d_in, d_out].
        steps: iterations; five bring singular values within about 0.7 to 1.2 of each other.
    """
    a, b, c = COEFFICIENTS
    tiny = torch.finfo(x.dtype).tiny
    norm = (x.square().sum((-2, -1), keepdim=True) + tiny).sqrt()
    y = x / norm
    wide = y.shape[-2] > y.shape[-1]
    y = y.mT if wide else y
    for _ in range(steps):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    y = y.mT if wide else y
    return y * norm / (y.square().sum((-2, -1), keepdim=True) + tiny).sqrt()
