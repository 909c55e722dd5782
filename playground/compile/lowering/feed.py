"""What the body of a chunk is given of the tokens: filters made ahead of the loop, or the gates.

A program of ours makes a chunk's filters in the cache where they are used; elsewhere, where that
would be many small operations a chunk, those of many chunks are made at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from playground.compile.lowering.chunk import Tokens
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import Lane, Segment

Tensors = list[Tensor]
PerRun = Sequence[Sequence[Tensor]]  # one entry per run


def lanes_of(wire: Wire) -> list[Lane]:
    """How the token tensors of the flat list lie: q, k, v, stacked gates, channel gates, ..."""
    n, back = len(wire.names), wire.rule.window - 1
    rows = n * wire.gating.channelwise + n * (back > 0)
    lanes = [Lane(1), Lane(1, back), Lane(1, back), Lane(2), *[Lane(1)] * rows]
    return [*lanes, Lane(1, back)] if wire.masked else lanes


@dataclass
class Fed:
    """The tokens of a segment, run by run, as its body is given them.

    into: where their gradients go, in the same order; None in forward.
    """

    runs: PerRun
    into: PerRun | None = None

    def give(self, g_tokens: Tensors) -> None:
        """Put what was found for the runs of this segment into the gradients to tokens."""
        """Add what does not lie in the gradients to the tokens yet."""


class AbstractFeed(ABC):
    """A way to give a body its tokens."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.lanes = wire, lanes_of(wire)

    @abstractmethod
    def feed(self, tokens: Tensors, segment: Segment, g_tokens: Tensors | None = None) -> Fed:
        """The tokens of a segment; g_tokens: gradients to the tokens, in backward."""

    @abstractmethod
    def tokens_of(self, rest: Iterator[Tensor]) -> Tokens:
        """One chunk from what a body is given."""

    @abstractmethod
    def triangles(self, first: int) -> Mapping[int, int]:
        """Tables among the inputs from `first` on in which no token reads of a later one."""


class GateFeed(AbstractFeed):
    """q, k, v and gates as they lie, [B, H, C, ...]; the body makes the filters. No mask."""

    def feed(self, tokens: Tensors, segment: Segment, g_tokens: Tensors | None = None) -> Fed:
        into = None if g_tokens is None else self._views(g_tokens, segment)
        return Fed(self._views(tokens, segment), into)

    def _views(self, tokens: Tensors, segment: Segment) -> PerRun:
        one = Lane(1)
        each = [one.views(t, segment) for t in (*tokens[:3], *tokens[3], *tokens[4:])]
        return list(zip(*each, strict=True))

    def tokens_of(self, rest: Iterator[Tensor]) -> Tokens:
        q, k, v, *gates = rest
        gating = replace(self.wire.gating, traced=True)
        wide = len(self.wire.names) * gating.channelwise
        stacked = torch.stack(gates[: len(gates) - wide]).unsqueeze(0)
        channels = [t.unsqueeze(0) for t in gates[len(gates) - wide :]]
        flat = [t[0] for t in gating.flat([stacked, *channels], None)]
        return Tokens(q=q, k=k, v=v, filters=gating.filters(flat))

    def triangles(self, first: int) -> Mapping[int, int]:
        return {}


@dataclass
class Filtered(Fed):
    """With filters made ahead: their gradients go through them to the gates."""

    lanes: Sequence[Lane] = ()
    segment: Segment | None = None
    gates: Sequence[Tensor] = ()
    filters: Sequence[Tensor] = ()
    g_filters: Sequence[Tensor] = ()

    def give(self, g_tokens: Tensors) -> None:
        """See `Fed`; what runs share is added up."""
        assert self.segment is not None and self.into is not None
        for i, (lane, g) in enumerate(zip(self.lanes[:3], g_tokens, strict=False)):
            if lane.back:  # runs share tokens
                for place, found in zip(lane.views(g, self.segment), self.into, strict=True):
                    place.add_(found[i])
        g_gates = torch.autograd.grad(self.filters, self.gates, self.g_filters)
        for g, b, lane in zip(g_tokens[3:], g_gates, self.lanes[3:], strict=False):
            lane.unpack(g, b, self.segment)


class FilterFeed(AbstractFeed):
    """q, k, v as they lie, and the filters of all runs of a segment, made at once."""

    def feed(self, tokens: Tensors, segment: Segment, g_tokens: Tensors | None = None) -> Fed:
        """See `AbstractFeed`."""
        lanes, backward = list(zip(self.lanes, tokens, strict=True)), g_tokens is not None
        packed = [lane.pack(t, segment) for lane, t in lanes[3:]]
        mask = packed.pop() if self.wire.masked else None
        views = [lane.views(t, segment) for lane, t in lanes[:3]]
        gates = [t.requires_grad_(backward) for t in packed]
        with torch.set_grad_enabled(backward):
            filters = self.wire.gating.flat(gates, mask)
        runs = _by_run(views, [t.detach() for t in filters])
        if g_tokens is None:
            return Fed(runs)
        g_filters = [torch.empty_like(t) for t in filters]
        rooms = [
            [torch.empty_like(t) for t in views[i]] if lane.back else lane.views(g, segment)
            for i, (lane, g) in enumerate(zip(self.lanes[:3], g_tokens, strict=False))
        ]
        into = _by_run(rooms, g_filters)
        return Filtered(runs, into, self.lanes, segment, gates, filters, g_filters)

    def tokens_of(self, rest: Iterator[Tensor]) -> Tokens:
        return self.wire.tokens_of(rest)

    def triangles(self, first: int) -> Mapping[int, int]:
        rule, count = self.wire.rule, self.wire.gating.tensors
        shift = (2 if rule.has_momentum else 1) + rule.window - 1
        return {first + 3 + i * count: shift for i in range(len(self.wire.names))}


def _by_run(views: Sequence[Sequence[Tensor]], stacked: Sequence[Tensor]) -> PerRun:
    """Run by run: lists with an entry for each, and tensors with a leading axis of runs."""
    made = zip(*(t.unbind(0) for t in stacked), strict=True)
    return [(*t, *f) for t, f in zip(zip(*views, strict=True), made, strict=True)]
