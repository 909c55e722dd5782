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

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Side = Literal["scalar", "key", "value"]  # of a matrix: where its gates act


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
    if eta is None:
        return _cut(_plain(lr, gamma), size)
    return _cut(_with_momentum(lr, gamma, eta, write), size)


def _cut(f: Filter, size: int) -> Filter:
    """The first `size` tokens of a filter."""
    c, m, e = (None if t is None else t[..., :size] for t in (f.c, f.m, f.e))
    return Filter(f.b[..., :size], f.A[..., :size, :size], c, m, e)


def _halves(n: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """1 on the second half of every pair of blocks of n tokens, as a column; 1 on the first."""
    second = (torch.arange(size, device=like.device) // n % 2).to(like.dtype)
    return second, 1.0 - second


def _at(x: Tensor, n: int, slot: int) -> Tensor:
    """For every token, x at one slot of its pair of blocks of n tokens; x: [..., C]."""
    pairs = x.unflatten(-1, (-1, 2 * n))
    return pairs[..., slot : slot + 1].expand_as(pairs).flatten(-2)


def _end_rows(A: Tensor, n: int) -> Tensor:
    """For every row, the row at the end of the first block of its pair; A: [..., C, C]."""
    pairs = A.unflatten(-2, (-1, 2 * n))
    return pairs[..., n - 1 : n, :].expand_as(pairs).flatten(-3, -2)


def _plain(lr: Tensor, gamma: Tensor) -> Filter:
    size, b = lr.shape[-1], gamma
    A = torch.diag_embed(lr)
    n = 1
    while n < size:
        second, first = _halves(n, size, lr)
        A = A + (second * b).unsqueeze(-1) * _end_rows(A, n)
        b = b * (first + second * _at(b, n, n - 1))
        n *= 2
    return Filter(b, A)


def _with_momentum(lr: Tensor, b: Tensor, m: Tensor, write: Tensor) -> Filter:
    size = lr.shape[-1]
    A, e, c = torch.diag_embed(write * lr), lr, write * m
    pair = torch.arange(size, device=lr.device)
    n = 1
    while n < size:
        second, first = _halves(n, size, lr)
        pair_of = pair // (2 * n)
        met = second.unsqueeze(-1) * first * (pair_of.unsqueeze(-1) == pair_of)
        b_end, c_end, m_end = (_at(x, n, n - 1) for x in (b, c, m))
        A = A + (second * b).unsqueeze(-1) * _end_rows(A, n)
        A = A + met * c.unsqueeze(-1) * e.unsqueeze(-2)
        e = e * (second + first * _at(m, n, 2 * n - 1))
        c = c * first + second * (b * c_end + c * m_end)
        b = b * (first + second * b_end)
        m = m * (first + second * m_end)
        n *= 2
    return Filter(b, A, c, m, e)
