"""Classes A and B with a gate for every key channel, in kernels.

Queries and keys are weighed inside their chunk (`kernels.channel_filter`); what is left is a scan
whose rows are kept each by its own number (`kernels.weighted_scan`).
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule
from playground.compile.lowering.affine import AffineScan, Lanes, Leaves
from playground.compile.lowering.kernel_call import chunk_of, factors_of, flat, solved_by_kernel

if TYPE_CHECKING:
    from kernels.channel_filter import Weighted


class ChannelKernelScan(AffineScan):
    """An affine scan of channel gates whose chunks are run by kernels."""

    def __init__(self, rule: AbstractGradientRule, *, compiled: bool) -> None:
        super().__init__(rule, compiled=compiled)
        self.written = torch.compile(self.writes, fullgraph=True) if compiled else self.writes

    def _chunk(self, length: int) -> int:
        return chunk_of(self.rule, length)

    def run(
        self, x: Lanes, slow: Leaves, target: Tensor | None, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `AffineScan`."""
        X, fixed, by_state = self.written(x, slow, target)
        reading = ChannelReading(self, x, (X, fixed, by_state), start, slow, target)
        y = self.rule.read(reading, x.q)
        return y, reading.last.unflatten(0, start.shape[:2])

    def writes(
        self, x: Lanes, slow: Leaves, target: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """X, and what tokens write: at a state of zero, and per unit of state (class B)."""
        X, d, slope = self._errors(x, slow, target)
        if slope is None:
            return X, d, None
        asks = X
        if self.rule.surprise_at == "decayed_memory":
            keep = x.keep if x.mask is None else torch.where(x.mask.unsqueeze(-1), x.keep, 1.0)
            asks = X * keep
        met = self.weighted(asks, X, x, before=True)
        return X, *self._signals(met.scores, [met.reads], d, slope)

    def weighted(self, q: Tensor, X: Tensor, x: Lanes, *, before: bool) -> Weighted:
        """Queries and the inputs of the map with all that gates do to them."""
        from kernels.channel_filter import Gates, channel_filter  # triton is an extra

        return channel_filter(q, X, Gates(x.lr, x.keep, x.momentum, x.mask), before=before)

    def _unit_solve(self, system: Tensor, right: Tensor) -> Tensor:
        return solved_by_kernel(system, right)


class ChannelReading:
    """A `dense` whose one linear map every token reads with its own memory, in kernels.

    last: the state after the last chunk, [B * H, R, V]; there once the map was called.
    """

    def __init__(
        self,
        scan: ChannelKernelScan,
        lanes: Lanes,
        written: tuple[Tensor, Tensor, Tensor | None],
        start: Tensor,
        slow: Leaves,
        target: Tensor | None,
    ) -> None:
        self.scan, self.lanes, self.written, self.start = scan, lanes, written, start
        self._slow, self.target, self.last = slow, target, start

    def __call__(self, name: str, x: Tensor) -> Tensor:
        from kernels.weighted_scan import Weighed, weighted_scan  # triton is an extra

        X, fixed, by_state = self.written
        before = self.scan.rule.read_at == "before"
        met = self.scan.weighted(x, X, self.lanes, before=before)
        chunks = Weighed(
            q=flat(met.reads),
            x=flat(met.writes),
            d=flat(fixed),
            w=None if by_state is None else flat(by_state),
            A=flat(met.scores),
            ends=flat(met.ends),
        )
        y, self.last = weighted_scan(chunks, self.start.flatten(0, 1), factors_of(x))
        y = y.unflatten(1, x.shape[1:3])
        return y if self.target is None else y + x @ self.target

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)
