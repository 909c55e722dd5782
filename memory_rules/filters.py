"""What the gates do to a chunk: the linear filter from writes to memories, without division.

A token keeps `gamma = 1 - decay` of the memory, `eta = momentum` of the momentum, and adds its
surprise with step `lr`:

    momentum_t = eta_t momentum_{t-1} - lr_t surprise_t
    memory_t   = gamma_t memory_{t-1} + momentum_t

so that inside a chunk

    memory_t   = b_t memory_0 + c_t momentum_0 - sum_{i <= t} A[t, i] surprise_i
    momentum_t = m_t momentum_0               - sum_{i <= t} E[t, i] surprise_i

Every coefficient is a sum of products of numbers in [0, 1]: blocks of tokens are joined pairwise
(1, 2, 4, ... tokens), which is exact at gates of 0 and 1, has no cancellation, logarithm or
quotient, and takes O(C^2) multiplications (Titans, arXiv:2501.00663, eqs. 16-18).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Filter(NamedTuple):
    """Coefficients of one chunk; C tokens read, I tokens written (I = C unless there is a window).

    b: [..., C]; A: [..., C, I]. With momentum also c, m: [..., C] and e: [..., I], the last row
    of E; without momentum these are None.
    """

    b: Tensor
    A: Tensor
    c: Tensor | None = None
    m: Tensor | None = None
    e: Tensor | None = None

    def before(self) -> "Filter":
        """The coefficients of the memory before each token's own write."""
        first = torch.ones_like(self.b[..., :1])
        b = torch.cat([first, self.b[..., :-1]], -1)
        A = F.pad(self.A[..., :-1, :], (0, 0, 1, 0))
        c = None if self.c is None else F.pad(self.c[..., :-1], (1, 0))
        return self._replace(b=b, A=A, c=c)

    def scaled(self, gamma: Tensor) -> "Filter":
        """The same coefficients with row t multiplied by gamma[t]."""
        c = None if self.c is None else self.c * gamma
        return self._replace(b=self.b * gamma, A=self.A * gamma.unsqueeze(-1), c=c)


def chunk_filter(
    lr: Tensor, gamma: Tensor, eta: Tensor | None = None, mask: Tensor | None = None
) -> Filter:
    """Build the filter of one chunk from its gates.

    Args:
        lr: [..., C] step of each write, >= 0.
        gamma: [..., C] fraction of the memory kept, in [0, 1].
        eta: [..., C] fraction of the momentum kept, in [0, 1]; None for no momentum.
        mask: [..., C] bool, broadcastable; a token that is False changes nothing.
    """
    size = lr.shape[-1]
    write = torch.ones_like(gamma) if mask is None else mask.to(gamma.dtype).expand_as(gamma)
    if mask is not None:
        lr = lr * write
        gamma = torch.where(mask, gamma, 1.0)
        eta = None if eta is None else torch.where(mask, eta, 1.0)
    full = 1 << (size - 1).bit_length()
    if full > size:  # slots after the end: they keep everything and write nothing
        pad = (0, full - size)
        lr, write = F.pad(lr, pad), F.pad(write, pad)
        gamma = F.pad(gamma, pad, value=1.0)
        eta = None if eta is None else F.pad(eta, pad, value=1.0)
    lr, gamma, write = (x.unsqueeze(-1) for x in (lr, gamma, write))  # blocks of one token
    if eta is None:
        return _join_plain(lr, gamma, size)
    return _join_momentum(lr, gamma, eta.unsqueeze(-1), write, size)


def _pair(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second block of every pair; x: [..., blocks, n]."""
    return x[..., 0::2, :], x[..., 1::2, :]


def _join(A: Tensor, low: Tensor) -> Tensor:
    """[[A1, 0], [low, A2]] for every pair of blocks; A: [..., blocks, n, n]."""
    first, second = A[..., 0::2, :, :], A[..., 1::2, :, :]
    n = A.shape[-1]
    top = F.pad(first, (0, n))
    return torch.cat([top, torch.cat([low, second], -1)], -2)


def _join_plain(lr: Tensor, b: Tensor, size: int) -> Filter:
    A = lr.unsqueeze(-1)
    while b.shape[-2] > 1:
        b1, b2 = _pair(b)
        low = b2.unsqueeze(-1) * A[..., 0::2, -1:, :]
        A = _join(A, low)
        b = torch.cat([b1, b2 * b1[..., -1:]], -1)
    return Filter(b.squeeze(-2)[..., :size], A.squeeze(-3)[..., :size, :size])


def _join_momentum(lr: Tensor, b: Tensor, m: Tensor, write: Tensor, size: int) -> Filter:
    A, e, c = (write * lr).unsqueeze(-1), lr, write * m
    while b.shape[-2] > 1:
        b1, b2 = _pair(b)
        c1, c2 = _pair(c)
        m1, m2 = _pair(m)
        e1, e2 = _pair(e)
        low = b2.unsqueeze(-1) * A[..., 0::2, -1:, :] + c2.unsqueeze(-1) * e1.unsqueeze(-2)
        A = _join(A, low)
        e = torch.cat([m2[..., -1:] * e1, e2], -1)
        b = torch.cat([b1, b2 * b1[..., -1:]], -1)
        c = torch.cat([c1, b2 * c1[..., -1:] + c2 * m1[..., -1:]], -1)
        m = torch.cat([m1, m2 * m1[..., -1:]], -1)
    A, e = A.squeeze(-3)[..., :size, :size], e.squeeze(-2)[..., :size]
    b, c, m = (x.squeeze(-2)[..., :size] for x in (b, c, m))
    return Filter(b, A, c, m, e)
