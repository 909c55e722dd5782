"""From gates to filters, for many chunks at once: the part of a chunk that no memory enters.

It runs outside the compiled body, in few operations on large tensors; backward recomputes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_rules.filters import Filter
from playground.compile.lowering.filter_op import Rows, filter_rows


@dataclass(frozen=True, kw_only=True)
class Gating:
    """How the gates of one rule become the filters of its matrices.

    names: matrices; momentum, channelwise, lags: what gates there are. The gates of a run of chunks
    are [stacked [N, G, B, H, C], channel gates [N, B, H, C, d]..., windows [N, B, H, C, lags]...],
    G counting lr, keep unless channelwise, and momentum, each for every matrix in turn.
    compiled, traced: how the rows of filters are made; see `filter_rows`.
    """

    names: tuple[str, ...]
    momentum: bool
    channelwise: bool
    lags: int
    compiled: bool = False
    traced: bool = False

    @property
    def tensors(self) -> int:
        """Tensors of one matrix's filter in the flat list."""
        return 3 if self.momentum else 1

    def flat(self, gates: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """The filters of a run of chunks, matrix by matrix: `Rows`, every tensor [N, B, H, ...].

        mask: [N, B, C + lags - 1] bool, or None.
        """
        stacked, count = gates[0], len(self.names)
        how = {"compiled": self.compiled, "traced": self.traced}
        lr, *others = stacked.unflatten(1, (-1, count)).unbind(1)
        eta = others[-1] if self.momentum else None
        windows = gates[1 + self.channelwise * count :] if self.lags > 1 else [None] * count
        if not self.channelwise and self.lags == 1:  # matrices differ in their numbers alone
            wide = None if mask is None else mask.unsqueeze(1)
            made = make_rows(lr, others[0], eta, None, wide, **how)
            each = [t.unbind(1) for t in made if t is not None]
            return [t for matrix in zip(*each, strict=True) for t in matrix]
        found: list[Tensor] = []
        for i, window in enumerate(windows):
            keep = gates[1 + i] if self.channelwise else others[0][:, i]
            steps = None if eta is None else eta[:, i]
            made = make_rows(lr[:, i], keep, steps, window, mask, **how)
            found += [t for t in made if t is not None]
        return found

    def filters(self, flat: Sequence[Tensor]) -> dict[str, Filter]:
        """The filters of one chunk from its part of the flat list."""
        count = self.tensors
        parts = (Rows(*flat[i * count : (i + 1) * count]) for i in range(len(self.names)))
        return {n: rows.filter() for n, rows in zip(self.names, parts, strict=True)}


def make_rows(
    lr: Tensor,
    keep: Tensor,
    eta: Tensor | None,
    window: Tensor | None,
    mask: Tensor | None,
    *,
    compiled: bool,
    traced: bool = False,
) -> Rows:
    """The filter of one matrix.

    Args:
        lr: [..., H, C] steps; keep: [..., H, C] or, channel by channel, [..., H, C, d];
        keep: fraction of the memory kept.
        eta: [..., H, C] fraction of the momentum kept, or None.
        window: [..., H, C, lags] weights of the last tokens' gradients, or None.
        mask: [..., C + lags - 1] bool, or None.
        compiled: see `filter_rows`.
        traced: see `filter_rows`.
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
        return filter_rows(lr, keep, eta, here, compiled=compiled, traced=traced)
    unit = filter_rows(torch.ones_like(lr), keep, eta, here, compiled=compiled, traced=traced)
    band = _band(step, window, mask)
    band = band.unsqueeze(-3) if wide else band
    e = None if unit.e is None else (unit.e.unsqueeze(-2) @ band).squeeze(-2)
    started, own = unit.memory.split([unit.first, size], -1)
    return Rows(torch.cat([started, own @ band], -1), unit.m, e)


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
