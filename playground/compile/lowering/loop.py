"""The loop over chunks, with its own recomputation.

Forward keeps the carry at every chunk's start and nothing else; backward walks the chunks in
reverse and recomputes each one inside its pullback, so activation memory is one carry per chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from playground.compile.lowering.bodies import Body
from playground.compile.lowering.chunk import chunk, opened
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import Lane, Segment, runs_of, segments

Tensors = list[Tensor]
FILTER_NUMBERS = 1 << 18  # of the filters of one matrix that are made ahead of the loop


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


@dataclass
class Blocks:
    """The tokens of a run of segments: q, k, v [N, B, H, C, d]; gates, and the filters of them."""

    qkv: Tensors
    gates: Tensors
    filters: Tensors

    def runs(self) -> list[tuple[Tensor, ...]]:
        """What the body of each run is given."""
        parts = (*self.qkv, *(t.detach() for t in self.filters))
        return list(zip(*(t.unbind(0) for t in parts), strict=True))


class Loop:
    """Runs one rule over tokens, chunk by chunk, forward and backward.

    The flat list is [carry..., open..., fixed..., tokens..., position]; see `Wire`.
    """

    def __init__(self, wire: Wire, *, compiled: bool) -> None:
        self.wire, self.rule, self.gating = wire, wire.rule, wire.gating
        self.size = wire.rule.chunk_size
        parts = {"part": (True, False), "last": (True, True)}
        make = {kind: partial(self._body, *flags) for kind, flags in parts.items()}
        self.whole = Body(partial(self._body, False, True), compiled=compiled)
        self.parts = {kind: Body(f, compiled=False) for kind, f in make.items()}
        self.single = {kind: Body(f, compiled=compiled) for kind, f in make.items()}  # decoding
        n, back = len(wire.names), self.rule.window - 1
        rows = n * self.gating.channelwise + n * (back > 0)
        lanes = [Lane(1), Lane(1, back), Lane(1, back), Lane(2), *[Lane(1)] * rows]
        self.lanes = [*lanes, Lane(1, back)] if wire.masked else lanes
        carry, opens = n + len(wire.duals), n * (1 + self.rule.passes) + len(wire.duals)
        self.groups = Groups(carry, opens, len(wire.starts) + len(wire.slow), len(self.lanes))

    def _body(self, is_open: bool, closes: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        rest, wire = iter(tensors), self.wire
        carry = wire.carry_of(rest)
        if is_open:
            carry = wire.open_of(carry, rest)
        start, slow = wire.fixed_of(rest)
        y, carry = chunk(wire.rule, carry, start, slow, wire.tokens_of(rest), closes=closes)
        after = wire.carry_list(carry)
        return (y, *after, *([] if closes else wire.open_list(carry)))

    def rows(self, length: int) -> int:
        """Carries that a call of `length` tokens keeps at most, the last included."""
        return length // self.size + 3

    def _plan(self, tokens: Tensors, position: Tensor) -> list[Segment]:
        at = int(position[0]) if len(position) else 0
        batch, length, heads = tokens[0].shape[:3]
        width = tokens[0].shape[3] if self.gating.channelwise else 1
        most = max(1, FILTER_NUMBERS // (batch * heads * width * self.size**2))
        plan = segments(length, at, self.size)
        return [piece for segment in plan for piece in runs_of(segment, most)]

    def _pack(self, tokens: Tensors, segment: Segment, *, backward: bool = False) -> Blocks:
        packed = [lane.pack(t, segment) for lane, t in zip(self.lanes, tokens, strict=True)]
        mask = packed.pop() if self.wire.masked else None
        qkv, gates = packed[:3], [t.requires_grad_(backward) for t in packed[3:]]
        with torch.set_grad_enabled(backward):
            return Blocks(qkv, gates, self.gating.flat(gates, mask))

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
        carries, row = list(zip(*(b.unbind(0) for b in kept), strict=True)), 0
        for segment in self._plan(tokens, tensors[-1]):
            blocks = self._pack(tokens, segment)
            out = torch.empty_like(blocks.qkv[2][..., -segment.size :, :])
            run = None
            for y_run, block in zip(out.unbind(0), blocks.runs(), strict=True):
                here, there = carries[row % rows], carries[(row + 1) % rows]
                row += 1
                at = [] if segment.kind == "whole" else [t.contiguous() for t in opens]
                opens = [torch.empty_like(t) for t in at] if segment.kind == "part" else []
                inputs, outputs = [*here, *at, *fixed, *block], [y_run, *there, *opens]
                if run is None:
                    run = self._body_of(segment, keep=keep).forward(inputs, outputs)
                run(*inputs, *outputs)
            if segment.kind != "part":
                opens = self._opened(list(carries[row % rows]))
            Lane(1).unpack(y, out, segment)
        return y, [*carries[row % rows], *opens], kept

    def _opened(self, carry: Tensors) -> Tensors:
        """The open parts of a chunk that starts at a carry."""
        return self.wire.open_list(opened(self.rule, self.wire.carry_of(iter(carry))))

    # backward

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensors, gy: Tensor, g_after: Tensors
    ) -> Tensors:
        """Gradients to carry, open, fixed and tokens (floating ones), in the order of the list."""
        _, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        plan = self._plan(tokens, tensors[-1])
        carry_count = self.groups.carry
        g_carry, g_open = list(g_after[:carry_count]), list(g_after[carry_count:])
        g_fixed = [torch.zeros_like(t) for t in fixed]
        g_tokens = [torch.zeros_like(t) for t in tokens if t.is_floating_point()]
        carries = list(zip(*(b.unbind(0) for b in kept), strict=True))
        row = sum(segment.count for segment in plan)
        for segment in reversed(plan):
            if segment.kind != "part":  # the next chunk opened at this segment's end
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            row -= segment.count
            blocks = self._pack(tokens, segment, backward=True)
            here = carries[row : row + segment.count]
            g_out = Lane(1).pack(gy, segment)
            g_blocks = [torch.empty_like(t) for t in (*blocks.qkv, *blocks.filters)]
            g_runs = list(zip(g_out, *(t.unbind(0) for t in g_blocks), strict=True))
            given = opens if row == 0 else None  # later chunks open at their carry
            g_carry, g_open = self._pull(
                segment, here, given, fixed, blocks, g_runs, [*g_carry, *g_open], g_fixed
            )
            if row:  # the chunk opened here: its anchor is this carry
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            self._unpack(g_tokens, g_blocks, blocks, segment)
        if not g_open:
            g_open = [torch.zeros_like(t) for t in opens]
        return [*g_carry, *g_open, *g_fixed, *g_tokens]

    def _pull(
        self,
        segment: Segment,
        carries: Sequence[Sequence[Tensor]],
        opens: Tensors | None,
        fixed: Tensors,
        blocks: Blocks,
        g_runs: Sequence[Sequence[Tensor]],
        g_after: Tensors,
        g_fixed: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Gradients to the carry and open parts before a segment; fills g_runs, adds to g_fixed.

        g_runs: per run, the gradient of its outputs and the buffers for those of its tokens.
        """
        run, count = None, self.groups.carry
        g_carry, g_open = g_after[:count], g_after[count:]
        for here, block, (g_y, *into) in reversed(
            list(zip(carries, blocks.runs(), g_runs, strict=True))
        ):
            at: Tensors = []
            if segment.kind != "whole":
                at = [t.contiguous() for t in (opens or self._opened(list(here)))]
            found = [torch.empty_like(t) for t in (*here, *at, *fixed)]
            given = [t.contiguous() for t in (g_y, *g_carry, *g_open)]
            inputs, outputs = [*here, *at, *fixed, *block], [*found, *into]
            if run is None:
                run = self._body_of(segment, keep=True).pullback(inputs, given, outputs)
            run(*inputs, *given, *outputs)
            g_carry, g_open = found[:count], found[count : count + len(at)]
            for total, g in zip(g_fixed, found[count + len(at) :], strict=True):
                total.add_(g)
        return g_carry, g_open

    def _body_of(self, segment: Segment, *, keep: bool) -> Body:
        if segment.kind == "whole":
            return self.whole
        single = segment.size == 1 and not keep
        return (self.single if single else self.parts)[segment.kind]

    def _unpack(
        self, g_tokens: Tensors, g_blocks: Tensors, blocks: Blocks, segment: Segment
    ) -> None:
        """Through the filters to the gates, and from chunks back to tokens."""
        g_gates = torch.autograd.grad(blocks.filters, blocks.gates, g_blocks[3:])
        for g, b, lane in zip(g_tokens, (*g_blocks[:3], *g_gates), self.lanes, strict=False):
            lane.unpack(g, b, segment)

    def _fold_open(self, g_carry: Tensors, g_open: Tensors) -> Tensors:
        """Gradients to the open parts of a chunk that starts here, folded into the carry's."""
        if not g_open:
            return g_carry
        n, found = len(self.wire.names), [t.clone() for t in g_carry]
        for i, g in enumerate(g_open[: n * (1 + self.rule.passes)]):
            found[i % n][..., : g.shape[-1]] += g  # anchor: the memory half; drafts: both
        return found
