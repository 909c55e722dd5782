"""The loop over chunks, with its own recomputation.

Forward keeps the carry at every chunk's start and what tokens read from every matrix; backward
walks the chunks in reverse and recomputes the rest of each one inside its pullback.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from playground.compile.lowering.bodies import Body
from playground.compile.lowering.chunk import chunk, opened
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import Kind, Lane, Segment, runs_of, segments

Tensors = list[Tensor]
PerRun = list[Sequence[Tensor]]  # one entry per run
KINDS: tuple[Kind, ...] = ("whole", "part", "last")
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

    The flat list is [carry..., open..., fixed..., tokens..., position]; see `Wire`. What forward
    keeps for backward is [carries..., said...]: a row per run, and a row per whole chunk.
    """

    def __init__(self, wire: Wire, *, compiled: bool) -> None:
        self.wire, self.rule, self.gating = wire, wire.rule, wire.gating
        self.size, self.compiled = wire.rule.chunk_size, compiled
        whole = {kind: compiled and kind == "whole" for kind in KINDS}
        self.bodies = {
            kind: Body(partial(self._body, kind), compiled=whole[kind]) for kind in KINDS
        }
        self.pulls = {kind: Body(partial(self._pull, kind), compiled=whole[kind]) for kind in KINDS}
        self.single = {kind: Body(partial(self._body, kind), compiled=compiled) for kind in KINDS}
        n, back = len(wire.names), self.rule.window - 1
        rows = n * self.gating.channelwise + n * (back > 0)
        lanes = [Lane(1), Lane(1, back), Lane(1, back), Lane(2), *[Lane(1)] * rows]
        self.lanes = [*lanes, Lane(1, back)] if wire.masked else lanes
        carry, opens = n + len(wire.duals), n * (1 + self.rule.passes) + len(wire.duals)
        self.groups = Groups(carry, opens, len(wire.starts) + len(wire.slow), len(self.lanes))

    # one chunk, or a part of one, as functions of flat tensors

    def _body(self, kind: Kind, *inputs: Tensor) -> Tensors:
        """[carry, open, fixed, block] -> [y, carry, open of a "part", said of a "whole"]."""
        y, after, said = self._chunk(kind, inputs, None)
        return [y, *after, *said]

    def _pull(self, kind: Kind, *tensors: Tensor) -> Tensors:
        """[inputs of `_body`, gradients to y, carry, open; said] -> gradients to the inputs."""
        said = len(self.wire.names) if kind == "whole" else 0
        given = 1 + self.groups.carry + (self.groups.open if kind == "part" else 0)
        size = len(tensors) - given - said
        known = list(tensors[size + given :]) if said else None

        def body(*inputs: Tensor) -> tuple[Tensor, ...]:
            y, after, _ = self._chunk(kind, inputs, known)
            return (y, *after)

        pull = torch.func.vjp(body, *tensors[:size])[1]
        return list(pull(tuple(tensors[size : size + given])))

    def _chunk(
        self, kind: Kind, inputs: Sequence[Tensor], known: Tensors | None
    ) -> tuple[Tensor, Tensors, Tensors]:
        """y; the carry after it, and what is open; what the query pass of a whole chunk said."""
        rest, wire = iter(inputs), self.wire
        carry = wire.carry_of(rest)
        if kind != "whole":
            carry = wire.open_of(carry, rest)
        start, slow = wire.fixed_of(rest)
        spoken = None if known is None else dict(zip(wire.names, known, strict=True))
        tokens, closes = wire.tokens_of(rest), kind != "part"
        y, said, after = chunk(wire.rule, carry, start, slow, tokens, closes=closes, known=spoken)
        flat = wire.carry_list(after) + ([] if closes else wire.open_list(after))
        return y, flat, [said[n] for n in wire.names] if kind == "whole" else []

    # a call

    def kept(self, tensors: Sequence[Tensor]) -> Tensors:
        """Buffers for what backward needs, enough wherever in a chunk the call starts."""
        carry, _, _, tokens = self.groups.split(tensors)
        batch, length, heads = tokens[0].shape[:3]
        whole, extra = length // self.size, length % self.size  # no divmod: it may be symbolic
        runs = whole + (2 if extra > 1 else 1)
        widths = [t.shape[-1] for t in carry[: len(self.wire.names)]]
        said = [carry[0].new_empty(whole, batch, heads, self.size, width) for width in widths]
        return [*(t.new_empty(runs, *t.shape) for t in carry), *said]

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

    def _body_of(self, segment: Segment, *, keep: bool) -> Body:
        single = segment.size == 1 and segment.kind != "whole" and not keep
        return (self.single if single else self.bodies)[segment.kind]

    # forward

    def forward(self, tensors: Sequence[Tensor], keep: bool) -> tuple[Tensor, Tensors, Tensors]:
        """y [B, T, H, V]; carry and open parts after the last token; what backward needs."""
        carry, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        y = torch.empty_like(tokens[2][:, : tokens[0].shape[1]])
        plan = self._plan(tokens, tensors[-1])
        kept = self.kept(tensors) if keep else []
        carries, said = self._room(tensors, kept, plan)
        for buffer, t in zip(carries[0], carry, strict=True):
            buffer.copy_(t)
        row, spoken = 0, iter(said)
        for segment in plan:
            blocks = self._pack(tokens, segment)
            out = torch.empty_like(blocks.qkv[2][..., -segment.size :, :])
            run = None
            for y_run, block in zip(out.unbind(0), blocks.runs(), strict=True):
                at = [] if segment.kind == "whole" else [t.contiguous() for t in opens]
                opens = [torch.empty_like(t) for t in at] if segment.kind == "part" else []
                says = next(spoken) if segment.kind == "whole" else ()
                inputs = [*carries[row], *at, *fixed, *block]
                outputs = [y_run, *carries[row + 1], *opens, *says]
                if run is None:
                    run = self._body_of(segment, keep=keep).runner(inputs, outputs)
                run(*inputs, *outputs)
                row += 1
            if segment.kind != "part":
                opens = self._opened(carries[row])
            Lane(1).unpack(y, out, segment)
        return y, [*carries[row], *opens], kept

    def _room(
        self, tensors: Sequence[Tensor], kept: Tensors, plan: list[Segment]
    ) -> tuple[PerRun, PerRun]:
        """Where carries lie, from the first run's to the one after the last; where chunks speak.

        With nothing to keep, two carries take turns, and all chunks speak into one buffer.
        """
        carry, count = tensors[: self.groups.carry], self.groups.carry
        runs = sum(segment.count for segment in plan)
        whole = sum(segment.count for segment in plan if segment.kind == "whole")
        after = [t.new_empty(t.shape) for t in carry]
        if kept:
            return [*_by_row(kept[:count])[:runs], after], _by_row(kept[count:])[:whole]
        other = [t.new_empty(t.shape) for t in carry]
        widths = [t.shape[-1] for t in carry[: len(self.wire.names)]]
        said = [carry[0].new_empty(*carry[0].shape[:2], self.size, width) for width in widths]
        return [(after, other)[i % 2] for i in range(runs, -1, -1)], [said] * whole

    def _opened(self, carry: Sequence[Tensor]) -> Tensors:
        """The open parts of a chunk that starts at a carry."""
        return self.wire.open_list(opened(self.rule, self.wire.carry_of(iter(carry))))

    # backward

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensors, gy: Tensor, g_after: Tensors
    ) -> Tensors:
        """Gradients to carry, open, fixed and tokens (floating ones), in the order of the list."""
        _, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        plan, count = self._plan(tokens, tensors[-1]), self.groups.carry
        carries, said = self._room(tensors, kept, plan)
        g_carry, g_open, row = list(g_after[:count]), list(g_after[count:]), len(carries) - 1
        g_fixed = [torch.zeros_like(t) for t in fixed]
        g_tokens = [t.new_zeros(t.shape) for t in tokens if t.is_floating_point()]
        for segment in reversed(plan):
            if segment.kind != "part":  # the next chunk opened at this segment's end
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            blocks = self._pack(tokens, segment, backward=True)
            g_blocks = [torch.empty_like(t) for t in (*blocks.qkv, *blocks.filters)]
            runs = zip(Lane(1).pack(gy, segment), blocks.runs(), _by_row(g_blocks), strict=True)
            run = None
            for g_y, block, into in reversed(list(runs)):
                row -= 1
                here, says, at = carries[row], (), []
                if segment.kind == "whole":
                    says = said.pop()
                else:  # later chunks open at their carry
                    at = [t.contiguous() for t in (opens if row == 0 else self._opened(here))]
                inputs = [*here, *at, *fixed, *block]
                inputs += [t.contiguous() for t in (g_y, *g_carry, *g_open)]
                found = [torch.empty_like(t) for t in (*here, *at, *fixed)]
                if run is None:
                    run = self.pulls[segment.kind].runner([*inputs, *says], [*found, *into])
                run(*inputs, *says, *found, *into)
                g_carry, g_open = found[:count], found[count : count + len(at)]
                for total, g in zip(g_fixed, found[count + len(at) :], strict=True):
                    total.add_(g)
            if row:  # the chunk opened here: its anchor is this carry
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            self._unpack(g_tokens, g_blocks, blocks, segment)
        if not g_open:
            g_open = [t.new_zeros(t.shape) for t in opens]
        return [*g_carry, *g_open, *g_fixed, *g_tokens]

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
            found[i % n][..., : g.shape[-2], :] += g  # anchor: the memory half; drafts: both
        return found


def _by_row(tensors: Sequence[Tensor]) -> PerRun:
    """Tensors with a leading axis of rows, row by row."""
    return list(zip(*(t.unbind(0) for t in tensors), strict=True))
