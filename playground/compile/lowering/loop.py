"""The loop over chunks, with its own recomputation.

Forward keeps the carry at every chunk's start and nothing else; backward walks the chunks in
reverse and recomputes each one inside its pullback, so activation memory is one carry per chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from playground.compile.lowering.bodies import Body
from playground.compile.lowering.chunk import chunk, opened
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import (
    Lane,
    Segment,
    all_true,
    padded,
    segments,
    trimmed,
)

Tensors = list[Tensor]


@dataclass(frozen=True)
class Groups:
    """How many tensors each group of the flat list has: carry, open, fixed, tokens."""

    carry: int
    open: int
    fixed: int
    tokens: int

    def split(self, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors, Tensors]:
        found, at = [], 0
        for size in (self.carry, self.open, self.fixed, self.tokens):
            found.append(list(tensors[at : at + size]))
            at += size
        return found[0], found[1], found[2], found[3]


class Loop:
    """Runs one rule over tokens, chunk by chunk, forward and backward.

    The flat list is [carry..., open..., fixed..., tokens..., position]; see `Wire`.
    """

    def __init__(self, wire: Wire, *, compiled: bool) -> None:
        self.wire, self.rule, self.compiled = wire, wire.rule, compiled
        self.size = wire.rule.chunk_size
        parts = replace(wire, masked=True)  # a part may be padded to a shape that is compiled
        self.bodies = {
            "whole": Body(partial(self._body, wire, False, True), compiled=compiled),
            "part": Body(partial(self._body, parts, True, False), compiled=compiled),
            "last": Body(partial(self._body, parts, True, True), compiled=compiled),
        }
        rule, n, back = wire.rule, len(wire.names), wire.rule.window - 1
        rows = n * wire.channelwise + n * (rule.window > 1)
        lanes = [Lane(1), Lane(1, back), Lane(1, back), Lane(2), *[Lane(1)] * rows]
        self.lanes = [*lanes, Lane(1, back)] if wire.masked else lanes
        self.part_lanes = [*lanes, Lane(1, back)]
        carry, opens = n + len(wire.duals), n * (1 + rule.passes) + len(wire.duals)
        self.groups = Groups(carry, opens, len(wire.starts) + len(wire.slow), len(self.lanes))

    @staticmethod
    def _body(wire: Wire, is_open: bool, closes: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        rest = iter(tensors)
        carry = wire.carry_of(rest)
        if is_open:
            carry = wire.open_of(carry, rest)
        start, slow = wire.fixed_of(rest)
        y, carry = chunk(wire.rule, carry, start, slow, wire.tokens_of(rest), closes=closes)
        after = wire.carry_list(carry)
        return (y, *after, *([] if closes else wire.open_list(carry)))

    def plan(self, tokens: Tensors, position: Tensor) -> list[Segment]:
        """The segments of a call; position: [B], equal across rows."""
        at = int(position[0]) if len(position) else 0
        return segments(tokens[0].shape[1], at, self.size)

    def rows(self, length: int) -> int:
        """Carries that a call of `length` tokens keeps at most, the last included."""
        return length // self.size + 3

    # one segment's tokens

    def _pack(self, tokens: Tensors, segment: Segment) -> tuple[Tensors, Tensors]:
        """Token blocks of a segment, [count, ...], and the same ready for its body."""
        if segment.kind == "whole":
            packed = [lane.pack(t, segment) for lane, t in zip(self.lanes, tokens, strict=True)]
            return packed, packed
        if not self.wire.masked:
            tokens = [*tokens, all_true(tokens[0], tokens[0].shape[1])]
        lanes = self.part_lanes
        packed = [lane.pack(t, segment)[0] for lane, t in zip(lanes, tokens, strict=True)]
        size = self.size if self.compiled and segment.size > 1 else segment.size
        return packed, padded(packed, lanes, size)

    # forward

    def forward(self, tensors: Sequence[Tensor], keep: bool) -> tuple[Tensor, Tensors, Tensors]:
        """y [B, T, H, V]; carry and open parts after the last token; carries kept, by row."""
        carry, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        y = torch.empty_like(tokens[2][:, : tokens[0].shape[1]])
        rows = self.rows(tokens[0].shape[1]) if keep else 2
        kept = [t.new_empty(rows, *t.shape) for t in carry]
        for buffer, t in zip(kept, carry, strict=True):
            buffer[0].copy_(t)
        row = 0
        for segment in self.plan(tokens, tensors[-1]):
            _, blocks = self._pack(tokens, segment)
            if segment.kind == "whole":
                out = y.new_empty(segment.count, *blocks[0].shape[1:-1], y.shape[-1])
                for i in range(segment.count):
                    here = [b[row % rows] for b in kept]
                    row += 1
                    there = [out[i], *(b[row % rows] for b in kept)]
                    self.bodies["whole"].forward([*here, *fixed, *(b[i] for b in blocks)], there)
                opens = self._opened([b[row % rows] for b in kept])
            else:
                here = [b[row % rows] for b in kept]
                row += 1
                there = [b[row % rows] for b in kept]
                out, opens = self._forward_part(segment, here, opens, fixed, blocks, there)
            Lane(1).unpack(y, out, segment)
        return y, [b[row % rows] for b in kept] + opens, kept

    def _forward_part(
        self,
        segment: Segment,
        carry: Tensors,
        opens: Tensors,
        fixed: Tensors,
        blocks: Tensors,
        there: Tensors,
    ) -> tuple[Tensor, Tensors]:
        opens = [t.contiguous() for t in opens]
        out = blocks[2].new_empty(*blocks[0].shape[:-1], blocks[2].shape[-1])
        inputs = [*carry, *opens, *fixed, *blocks]
        if segment.kind == "last":
            self.bodies["last"].forward(inputs, [out, *there])
            opens = self._opened(there)
        else:
            new = [torch.empty_like(t) for t in opens]
            self.bodies["part"].forward(inputs, [out, *there, *new])
            opens = new
        return out[None, ..., : segment.size, :], opens

    def _opened(self, carry: Tensors) -> Tensors:
        return self.wire.open_list(opened(self.rule, self.wire.carry_of(iter(carry))))

    # backward

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensors, gy: Tensor, g_after: Tensors
    ) -> Tensors:
        """Gradients to carry, open, fixed and tokens (floating ones), in the order of the list."""
        _, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        plan = self.plan(tokens, tensors[-1])
        carry_count = self.groups.carry
        g_carry, g_open = list(g_after[:carry_count]), list(g_after[carry_count:])
        g_fixed = [torch.zeros_like(t) for t in fixed]
        g_tokens = [torch.zeros_like(t) for t in tokens if t.is_floating_point()]
        row = sum(segment.count for segment in plan)
        for place, segment in reversed(list(enumerate(plan))):
            if segment.kind != "part":  # the next chunk opened at this segment's end
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            row -= segment.count
            _, blocks = self._pack(tokens, segment)
            g_out = Lane(1).pack(gy, segment)
            if segment.kind == "whole":
                g_blocks = [torch.empty_like(b) for b in blocks if b.is_floating_point()]
                for i in reversed(range(segment.count)):
                    inputs = [*(b[row + i] for b in kept), *fixed, *(b[i] for b in blocks)]
                    found = [torch.empty_like(t) for t in (*g_carry, *fixed)]
                    into = [*found, *(b[i] for b in g_blocks)]
                    self.bodies["whole"].pullback(inputs, [g_out[i], *g_carry], into)
                    g_carry = found[:carry_count]
                    self._accumulate(g_fixed, found[carry_count:])
                g_open = []
            else:
                at = opens if place == 0 else self._opened([b[row] for b in kept])
                g_carry, g_open, g_new, g_blocks = self._pull_part(
                    segment, [b[row] for b in kept], at, fixed, blocks, g_out[0], g_carry, g_open
                )
                self._accumulate(g_fixed, g_new)
                sized = trimmed(g_blocks, self.part_lanes[:-1], segment.size)
                g_blocks = [t[None] for t in sized]
                if place:  # the chunk opened here: its anchor is this carry
                    g_carry, g_open = self._fold_open(g_carry, g_open), []
            for g, b, lane in zip(g_tokens, g_blocks, self.lanes, strict=False):
                lane.unpack(g, b, segment)
        if not g_open:
            g_open = [torch.zeros_like(t) for t in opens]
        return [*g_carry, *g_open, *g_fixed, *g_tokens]

    def _pull_part(
        self,
        segment: Segment,
        carry: Tensors,
        opens: Tensors,
        fixed: Tensors,
        blocks: Tensors,
        g_out: Tensor,
        g_carry: Tensors,
        g_open: Tensors,
    ) -> tuple[Tensors, Tensors, Tensors, Tensors]:
        opens = [t.contiguous() for t in opens]
        inputs = [*carry, *opens, *fixed, *blocks]
        into = [torch.empty_like(t) for t in inputs if t.is_floating_point()]
        extra = blocks[0].shape[-2] - segment.size
        g_out = torch.nn.functional.pad(g_out, (0, 0, 0, extra)) if extra else g_out
        body = self.bodies[segment.kind]
        cotangents = [g_out, *g_carry] + ([] if segment.kind == "last" else g_open)
        body.pullback(inputs, [t.contiguous() for t in cotangents], into)
        a = self.groups.carry
        b = a + self.groups.open
        c = b + self.groups.fixed
        return into[:a], into[a:b], into[b:c], into[c:]

    def _fold_open(self, g_carry: Tensors, g_open: Tensors) -> Tensors:
        """Gradients to the open parts of a chunk that starts here, folded into the carry's."""
        if not g_open:
            return g_carry
        n, found = len(self.wire.names), [t.clone() for t in g_carry]
        for i, g in enumerate(g_open[: n * (1 + self.rule.passes)]):
            found[i % n][..., : g.shape[-1]] += g  # anchor: the memory half; drafts: both
        return found

    @staticmethod
    def _accumulate(total: Tensors, new: Tensors) -> None:
        for t, g in zip(total, new, strict=True):
            t.add_(g)
