"""The loop over chunks, with its own recomputation.

Forward keeps the carry at every chunk's start and what tokens read from every matrix; backward
walks the chunks in reverse and recomputes the rest of each one inside its pullback.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import torch
from torch import Tensor

from playground.compile.lowering.bodies import Body, Form
from playground.compile.lowering.chunk import chunk, opened
from playground.compile.lowering.feed import (
    AbstractFeed,
    FilterFeed,
    GateFeed,
    PerRun,
    Tensors,
    lanes_of,
)
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import (
    Kind,
    Lane,
    Segment,
    chunk_length,
    runs_of,
    segments,
)

KINDS: tuple[Kind, ...] = ("whole", "part", "last")
FILTER_NUMBERS = 1 << 17  # of the filters of one matrix that are made ahead of the loop


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

    The flat list is [carry..., open..., fixed..., tokens..., position]; see `Wire`. What forward
    keeps for backward is [carries..., said...]: a row per run, and a row per whole chunk.
    """

    def __init__(self, wire: Wire, *, compiled: bool) -> None:
        self.wire, self.rule, self.gating = wire, wire.rule, wire.gating
        self.size, self.compiled = chunk_length(wire.rule), compiled
        n = len(wire.names)
        carry = n + len(wire.duals)
        opens = len(wire.anchors) + n * self.rule.passes + len(wire.duals)
        lanes = len(lanes_of(wire))
        self.groups = Groups(carry, opens, len(wire.starts) + len(wire.slow), lanes)
        self.filters, self.gates = FilterFeed(wire), GateFeed(wire)
        self.bodies = {kind: self._made(self._body, kind) for kind in KINDS}
        self.pulls = {kind: self._made(self._pull, kind) for kind in KINDS}

    def _made(self, function: Callable[..., Tensors], kind: Kind) -> dict[AbstractFeed, Body]:
        """A function of one chunk, for every way to give it its tokens."""
        first = self.groups.carry + self.groups.fixed + (kind != "whole") * self.groups.open
        return {
            feed: Body(partial(function, kind, feed), lower=feed.triangles(first))
            for feed in (self.filters, self.gates)
        }

    def _feed(self, form: Form, device: torch.device) -> AbstractFeed:
        """A program makes the filters by itself."""
        program = form != "eager" and device.type == "cpu"
        return self.gates if program and not self.wire.masked else self.filters

    # one chunk, or a part of one, as functions of flat tensors

    def _body(self, kind: Kind, feed: AbstractFeed, *inputs: Tensor) -> Tensors:
        """[carry, open, fixed, block] -> [y, carry, open of a "part", said of a "whole"]."""
        y, after, said = self._chunk(kind, feed, inputs, None)
        return [y, *after, *said]

    def _pull(self, kind: Kind, feed: AbstractFeed, *tensors: Tensor) -> Tensors:
        """[inputs of `_body`; gradients to y, carry, open; to fixed, so far; said] -> to inputs.

        What it gives for the fixed inputs is the sum so far.
        """
        said = len(self.wire.names) if kind == "whole" else 0
        given = 1 + self.groups.carry + (self.groups.open if kind == "part" else 0)
        size = len(tensors) - given - said - self.groups.fixed
        so_far = tensors[size + given : size + given + self.groups.fixed]
        known = list(tensors[len(tensors) - said :]) if said else None

        def body(*inputs: Tensor) -> tuple[Tensor, ...]:
            y, after, _ = self._chunk(kind, feed, inputs, known)
            return (y, *after)

        pull = torch.func.vjp(body, *tensors[:size])[1]
        found = list(pull(tuple(tensors[size : size + given])))
        first = self.groups.carry + (0 if kind == "whole" else self.groups.open)
        for i, before in enumerate(so_far, first):
            found[i] = before + found[i]
        return found

    def _chunk(
        self, kind: Kind, feed: AbstractFeed, inputs: Sequence[Tensor], known: Tensors | None
    ) -> tuple[Tensor, Tensors, Tensors]:
        """y; the carry after it, and what is open; what the query pass of a whole chunk said."""
        rest, wire = iter(inputs), self.wire
        carry = wire.carry_of(rest)
        if kind != "whole":
            carry = wire.open_of(carry, rest)
        start, slow = wire.fixed_of(rest)
        spoken = None if known is None else dict(zip(wire.names, known, strict=True))
        tokens, closes = feed.tokens_of(rest), kind != "part"
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

    def _plan(self, tokens: Tensors, position: Tensor, *, keep: bool) -> list[tuple[Segment, Form]]:
        """The segments of a call, and the form of each."""
        at = int(position[0]) if len(position) and self.rule.chunked else 0
        batch, length, heads = tokens[0].shape[:3]
        width = tokens[0].shape[3] if self.gating.channelwise else 1
        most = max(1, FILTER_NUMBERS // (batch * heads * width * self.size**2))
        found = []
        for segment in segments(length, at, self.size):
            form = self._form(segment, keep=keep)
            ahead = self._feed(form, tokens[0].device) is self.filters
            found += [(s, form) for s in (runs_of(segment, most) if ahead else [segment])]
        return found

    def _form(self, segment: Segment, *, keep: bool) -> Form:
        """What is worth compiling: whole chunks, and parts whose sizes come again.

        These are single tokens, and in training what the ends of all calls have in common. Of a
        rule with chunks of its own they depend on where in a stream a call begins, so there a part
        gets a program, which takes a second, but no graph.
        """
        if not self.compiled:
            return "eager"
        if segment.kind == "whole" or (segment.size == 1 and not keep):
            return "graph"
        if keep:
            return "program" if self.rule.chunked else "graph"
        return "eager"

    # forward

    def forward(self, tensors: Sequence[Tensor], keep: bool) -> tuple[Tensor, Tensors, Tensors]:
        """y [B, T, H, V]; carry and open parts after the last token; what backward needs.

        No two of them share memory, as nothing that leaves an operator may.
        """
        carry, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        y = torch.empty_like(tokens[2][:, : tokens[0].shape[1]])
        plan = self._plan(tokens, tensors[-1], keep=keep)
        kept = self.kept(tensors) if keep else []
        carries, said = self._room(tensors, kept, plan)
        for buffer, t in zip(carries[0], carry, strict=True):
            if buffer is not t:
                buffer.copy_(t)
        row, spoken = 0, iter(said)
        for segment, form in plan:
            feed = self._feed(form, y.device)
            fed, calls = feed.feed(tokens, segment), []
            for y_run, block in zip(Lane(1).views(y, segment), fed.runs, strict=True):
                at = [] if segment.kind == "whole" else [t.contiguous() for t in opens]
                opens = [torch.empty_like(t) for t in at] if segment.kind == "part" else []
                says = next(spoken) if segment.kind == "whole" else ()
                inputs = [*carries[row], *at, *fixed, *block]
                calls.append((inputs, [y_run, *carries[row + 1], *opens, *says]))
                row += 1
            self.bodies[segment.kind][feed].run(calls, form)
            if segment.kind != "part":
                opens = self._opened(carries[row])
        opens = [t.clone() for t in opens]  # they may be views of the carry
        return y, [*carries[row], *opens], kept

    def _room(
        self, tensors: Sequence[Tensor], kept: Tensors, plan: list[tuple[Segment, Form]]
    ) -> tuple[PerRun, PerRun]:
        """Where carries lie, from the first run's to the one after the last; where chunks speak.

        With nothing to keep, two carries take turns after what was given, and all chunks speak
        into one buffer.
        """
        carry, count = tensors[: self.groups.carry], self.groups.carry
        runs = sum(segment.count for segment, _ in plan)
        whole = sum(segment.count for segment, _ in plan if segment.kind == "whole")
        after = [t.new_empty(t.shape) for t in carry]
        if kept:
            return [*_by_row(kept[:count])[:runs], after], _by_row(kept[count:])[:whole]
        other = [t.new_empty(t.shape) for t in carry]
        widths = [t.shape[-1] for t in carry[: len(self.wire.names)]]
        said = [carry[0].new_empty(*carry[0].shape[:2], self.size, width) for width in widths]
        turns = [(after, other)[i % 2] for i in range(runs - 1, -1, -1)]
        return [[t.contiguous() for t in carry], *turns], [said] * whole

    def _opened(self, carry: Sequence[Tensor]) -> Tensors:
        """The open parts of a chunk that starts at a carry."""
        return self.wire.open_list(opened(self.rule, self.wire.carry_of(iter(carry))))

    # backward

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensors, gy: Tensor, g_after: Tensors
    ) -> Tensors:
        """Gradients to carry, open, fixed and tokens (floating ones), in the order of the list.

        g_after: gradients to carry and open parts; to the carry alone where nobody asks for more.
        """
        _, opens, fixed, tokens = self.groups.split(tensors)
        fixed = [t.contiguous() for t in fixed]
        plan, count = self._plan(tokens, tensors[-1], keep=True), self.groups.carry
        carries, said = (list(t) for t in self._room(tensors, kept, plan))
        g_carry, g_open, row = list(g_after[:count]), list(g_after[count:]), len(carries) - 1
        g_open = g_open or [torch.zeros_like(t) for t in opens if plan[-1][0].kind == "part"]
        g_fixed = [torch.zeros_like(t) for t in fixed]
        g_tokens = [t.new_zeros(t.shape) for t in tokens if t.is_floating_point()]
        rooms = _taking_turns([*carries[0], *fixed])
        for segment, form in reversed(plan):
            if segment.kind != "part":  # the next chunk opened at this segment's end
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            feed = self._feed(form, gy.device)
            fed, calls = feed.feed(tokens, segment, g_tokens), []
            runs = zip(Lane(1).views(gy, segment), fed.runs, fed.into or (), strict=True)
            for g_y, block, into in reversed(list(runs)):
                row -= 1
                here = carries[row]
                says = said.pop() if segment.kind == "whole" else ()
                at = [] if says else opens if row == 0 else self._opened(here)
                at = [t.contiguous() for t in at]  # later chunks open at their carry
                inputs = [*here, *at, *fixed, *block]
                inputs += [g_y, *(t.contiguous() for t in (*g_carry, *g_open)), *g_fixed, *says]
                room = next(rooms)
                g_carry, g_fixed = room[:count], room[count:]
                g_open = [torch.empty_like(t) for t in at]
                calls.append((inputs, [*g_carry, *g_open, *g_fixed, *into]))
            self.pulls[segment.kind][feed].run(calls, form)
            if row:  # the chunk opened here: its anchor is this carry
                g_carry, g_open = self._fold_open(g_carry, g_open), []
            fed.give(g_tokens)
        g_open = g_open or [torch.zeros_like(t) for t in opens]
        return [*g_carry, *g_open, *g_fixed, *g_tokens]

    def _fold_open(self, g_carry: Tensors, g_open: Tensors) -> Tensors:
        """Gradients to the open parts of a chunk that starts here, folded into the carry's."""
        if not g_open:
            return g_carry
        n, found = len(self.wire.names), [t.clone() for t in g_carry]
        for i, g in enumerate(g_open[: n * (1 + self.rule.passes)]):
            found[i % n][..., : g.shape[-2], :] += g  # anchor: the memory half; drafts: both
        return found


def _taking_turns(like: Sequence[Tensor]) -> Iterator[Tensors]:
    """Two rooms for what passes from chunk to chunk: one is read while the other is written."""
    return cycle([[torch.empty_like(t) for t in like] for _ in range(2)])


def _by_row(tensors: Sequence[Tensor]) -> PerRun:
    """Tensors with a leading axis of rows, row by row."""
    return list(zip(*(t.unbind(0) for t in tensors), strict=True))
