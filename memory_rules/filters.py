"""What the gates do to a chunk: the linear filter from writes to memories, without division.

A token keeps `gamma = 1 - decay` of the memory, `eta = momentum` of the momentum, and adds its
surprise with step `lr`:

    momentum_t = eta_t momentum_{t-1} - lr_t surprise_t
    memory_t   = gamma_t memory_{t-1} + momentum_t

so that inside a chunk

    memory_t   = b_t memory_0 + c_t momentum_0 - sum_{i <= t} A[t, i] surprise_i
    momentum_t = m_t momentum_0               - sum_{i <= t} E[t, i] surprise_i

Every coefficient is a sum of products of numbers in [0, 1]: built row by row it is exact at gates
of 0 and 1, has no cancellation, logarithm or quotient, and takes O(C^2) multiplications (Titans,
arXiv:2501.00663, eqs. 16-18).
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
    """The filter of one chunk from its gates, as defined: one row after the other.

    Lowerings and kernels have forms of their own, which are held to this one.

    Args:
        lr: [..., C] step of each write, >= 0.
        gamma: [..., C] fraction of the memory kept, in [0, 1].
        eta: [..., C] fraction of the momentum kept, in [0, 1]; None for no momentum.
        mask: [..., C] bool, broadcastable; a token that is False changes nothing.
    """
    write = torch.ones_like(gamma)
    if mask is not None:
        write = mask.to(gamma.dtype).expand_as(gamma)
        gamma = torch.where(mask, gamma, 1.0)
        eta = None if eta is None else torch.where(mask, eta, 1.0)
    keeps = torch.zeros_like(gamma) if eta is None else eta
    writes = torch.diag_embed(lr * write)
    b, m, c = (torch.full_like(gamma[..., 0], start) for start in (1.0, 1.0, 0.0))
    e, A = torch.zeros_like(lr), torch.zeros_like(lr)
    found: list[Filter] = []
    for t in range(lr.shape[-1]):
        keep, carry, on = (x[..., t] for x in (gamma, keeps, write))
        m, e = carry * m, carry[..., None] * e + writes[..., t, :]
        b, c = keep * b, keep * c + on * m
        A = keep[..., None] * A + on[..., None] * e
        found.append(Filter(b, A, c, m))
    b, c, m = (torch.stack([getattr(f, name) for f in found], -1) for name in "bcm")
    A = torch.stack([f.A for f in found], -2)
    return Filter(b, A) if eta is None else Filter(b, A, c, m, e)
