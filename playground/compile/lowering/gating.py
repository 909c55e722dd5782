"""From gates to filters, for many chunks at once: the part of a chunk that no memory enters.

It runs outside the compiled body, in few operations on large tensors; backward recomputes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_rules.filters import Filter
from playground.compile.lowering.filter_op import fast_filter


@dataclass(frozen=True, kw_only=True)
class Gating:
    """How the gates of one rule become the filters of its matrices.

    names: matrices; momentum, channelwise, lags: what gates there are. The gates of a run of chunks
    are [stacked [N, G, B, H, C], channel gates [N, B, H, C, d]..., windows [N, B, H, C, lags]...],
    G counting lr, keep unless channelwise, and momentum, each for every matrix in turn.
    """

    names: tuple[str, ...]
    momentum: bool
    channelwise: bool
    lags: int

    @property
    def tensors(self) -> int:
        """Tensors of one matrix's filter in the flat list: rows, A, and with momentum e."""
        return 3 if self.momentum else 2

    def flat(self, gates: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """The filters of a run of chunks, matrix by matrix: rows [N, 1 or 3, ...], A, e.

        mask: [N, B, C + lags - 1] bool, or None.
        """
        stacked, count = gates[0], len(self.names)
        groups = stacked.unflatten(1, (-1, count)).unbind(1)
        found: list[Tensor] = []
        for i in range(count):
            eta = groups[-1][:, i] if self.momentum else None
            keep = gates[1 + i] if self.channelwise else groups[1][:, i]
            window = gates[1 + self.channelwise * count + i] if self.lags > 1 else None
            f = make_filter(groups[0][:, i], keep, eta, window, mask)
            rows = [f.b] if f.c is None or f.m is None else [f.b, f.c, f.m]
            found += [torch.stack(rows, 1), f.A] + ([] if f.e is None else [f.e])
        return found

    def filters(self, flat: Sequence[Tensor]) -> dict[str, Filter]:
        """The filters of one chunk from its part of the flat list."""
        found: dict[str, Filter] = {}
        for i, n in enumerate(self.names):
            rows, A, *e = flat[i * self.tensors : (i + 1) * self.tensors]
            if self.momentum:
                b, c, m = rows.unbind(0)
                found[n] = Filter(b, A, c, m, e[0])
            else:
                found[n] = Filter(rows[0], A)
        return found

    def pullback(
        self, gates: Sequence[Tensor], mask: Tensor | None, grads: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Gradients to the gates of a run, from those to its flat filters."""

        leaves = [t.detach().requires_grad_() for t in gates]
        with torch.enable_grad():
            flat = self.flat(leaves, mask)
        return torch.autograd.grad(flat, leaves, list(grads), allow_unused=False)


def make_filter(
    lr: Tensor, keep: Tensor, eta: Tensor | None, window: Tensor | None, mask: Tensor | None
) -> Filter:
    """The filter of one matrix.

    Args:
        lr: [..., H, C] steps; keep: [..., H, C] or, channel by channel, [..., H, C, d];
        keep: fraction of the memory kept.
        eta: [..., H, C] fraction of the momentum kept, or None.
        window: [..., H, C, lags] weights of the last tokens' gradients, or None.
        mask: [..., C + lags - 1] bool, or None.
    """
    size, step = lr.shape[-1], lr
    here = None if mask is None else mask[..., None, -size:]
    wide = keep.ndim > lr.ndim
    if wide:  # the channel goes before the token axis
        keep = keep.mT
        lr = lr.unsqueeze(-2).expand_as(keep)
        eta = None if eta is None else eta.unsqueeze(-2).expand_as(keep)
        here = None if here is None else here.unsqueeze(-2)
    if window is None:
        return fast_filter(lr, keep, eta, here)
    unit = fast_filter(torch.ones_like(lr), keep, eta, here)
    band = _band(step, window, mask)
    band = band.unsqueeze(-3) if wide else band
    e = None if unit.e is None else (unit.e.unsqueeze(-2) @ band).squeeze(-2)
    return unit._replace(A=unit.A @ band, e=e)


def _band(lr: Tensor, window: Tensor, mask: Tensor | None) -> Tensor:
    """Weights of the gradients each token descends: [..., H, C, C + lags - 1], a lower band."""
    size, lags = window.shape[-2:]
    t = torch.arange(size, device=lr.device)[:, None]
    i = torch.arange(size + lags - 1, device=lr.device)[None, :]
    lag = t + lags - 1 - i
    inside = (lag >= 0) & (lag < lags)
    band = window[..., t, lag.clamp(0, lags - 1)] * inside * lr.unsqueeze(-1)
    if mask is None:
        return band
    return band * (mask[..., None, -size:, None] & mask[..., None, None, :])
