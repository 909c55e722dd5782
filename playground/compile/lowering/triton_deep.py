"""Class C in kernels: Titans' network of one or two matrices, gradients at the chunk's start.

Whole chunks are run by `kernels.deep_chunk`; what a call has of a chunk before and after them goes
through the chunk loop of the chunked lowering, so that a stream may stop and go on at any token.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from memory_rules import AbstractMemoryRule, Inputs, State
from memory_rules.titans import Titans
from playground.compile.lowering.chunked import LoopScan
from playground.compile.lowering.feed import Tensors, lanes_of
from playground.compile.lowering.loop import Loop
from playground.compile.lowering.pack import Wire
from playground.compile.lowering.segments import Lane, Segment, segments
from playground.errors import LoweringError

if TYPE_CHECKING:
    from kernels.deep_chunk import Chunks

FACTORS = (None, torch.bfloat16, torch.float16)  # of products; None for those of the state


def longest(capability: int) -> int:
    """Tokens of a chunk that a kernel holds, by the GPU's major capability.

    At 8 a chunk of 128 tokens of 128 channels spills registers (`python -m benchmarks.aot`).
    """
    return 64 if capability == 8 else 128


def refuses(rule: AbstractMemoryRule, capability: tuple[int, int] | None) -> str:
    """Why the kernels cannot run a rule of class C; "" if they can.

    Args:
        rule: any rule.
        capability: of the GPU; None for one that is not known, or the interpreter.
    """
    if type(rule) is not Titans:
        return f"no kernel for class C but that of titans, this is {rule.kind}"
    deep = rule.network == "mlp" and rule.depth > 2
    most = longest(9 if capability is None else capability[0])
    reasons = {
        f"network: {rule.network}": rule.network not in ("mlp", "linear"),
        f"depth: {rule.depth}": deep,
        f"objective: {rule.objective}": rule.objective != "l2",
        f"decay: {rule.decay}": rule.side != "scalar",
        f"decay_towards: {rule.decay_towards}": rule.decay_towards != "zero",
        f"anchor: {rule.anchor}": rule.anchor != "chunk",
        f"inner: {rule.inner}": rule.nonlinear_close,
        f"chunks of more than {most} tokens": rule.chunk_size > most,
    }
    return next((f"no kernel for {what}" for what, holds in reasons.items() if holds), "")


def factors_on(device: str) -> torch.dtype | None:
    """The type of factors of products; None for that of the state.

    Raises:
        LoweringError: it would be fp32 on a GPU, whose three TF32 products each spill registers.
    """
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    if device == "cuda":
        why = {"triton": "its kernels of class C have factors of 16 bits; use autocast to bf16"}
        raise LoweringError("titans", "triton cannot run it in fp32.", why)
    return None


class DeepScan:
    """A scan of a rule that `refuses` has nothing against."""

    def __init__(self, rule: Titans, *, compiled: bool) -> None:
        self.scans = {
            factors: LoopScan(
                rule,
                compiled=compiled,
                machine=partial(DeepLoop, factors=factors),
                note=f"|deep kernels={factors}",
            )
            for factors in FACTORS
        }

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        return self.scans[factors_on(inputs.q.device.type)](rule, state, inputs)


class Packed(NamedTuple):
    """The tokens of whole chunks: q, k, v [N, B, H, C, d]; gates, and the filters of them."""

    qkv: Tensors
    gates: Tensors
    filters: Tensors


class DeepLoop(Loop):
    """The loop over chunks with its whole chunks in kernels.

    What forward keeps for backward is [states of either matrix before every whole chunk and after
    the last, [W + 1, B, H, R, d]..., the carry where the last part of a chunk begins...].
    """

    def __init__(self, wire: Wire, *, compiled: bool, factors: torch.dtype | None) -> None:
        super().__init__(wire, compiled=compiled)
        self.lanes = lanes_of(wire)
        rule = self.rule
        assert isinstance(rule, Titans)
        self.factors = factors
        self.form = (rule.residual and not rule.plain, rule.norm == "layer" and not rule.plain)

    def kept(self, tensors: Sequence[Tensor]) -> Tensors:
        """Buffers for what backward needs, enough wherever in a chunk the call starts."""
        carry, _, _, tokens = self.groups.split(tensors)
        rows = tokens[0].shape[1] // self.size + 1
        return [t.new_empty(n, *t.shape) for n in (rows, 1) for t in carry]

    # forward

    def forward(self, tensors: Sequence[Tensor], keep: bool) -> tuple[Tensor, Tensors, Tensors]:
        """See `Loop`."""
        carry, opens, _, tokens = self.groups.split(tensors)
        count, kept = len(carry), self.kept(tensors) if keep else []
        y = torch.empty_like(tokens[2])
        for segment in self._segments(tokens, tensors[-1]):
            if segment.kind == "whole":
                out, carry, states = self._whole(tokens, segment, carry, keep)
                Lane(1).unpack(y, out, segment)
                opens = self._opened(carry)
                for i, t in enumerate(states):
                    if t.shape == kept[i].shape:
                        kept[i] = t
                    else:
                        kept[i][: len(t)].copy_(t)
                continue
            for room, t in zip(kept[count:], carry, strict=False):
                room[0].copy_(t)
            given = self._part(tensors, segment, carry, opens)
            out, after, _ = super().forward(given, False)
            y[:, segment.first : segment.end] = out
            carry, opens = after[:count], after[count:]
        return y, [t.clone() for t in (*carry, *opens)], kept  # they may lie among the states

    def _segments(self, tokens: Tensors, position: Tensor) -> list[Segment]:
        at = int(position[0]) if len(position) else 0
        return segments(tokens[0].shape[1], at, self.size)

    def _part(
        self, tensors: Sequence[Tensor], segment: Segment, carry: Tensors, opens: Tensors
    ) -> Tensors:
        """The flat list of a call with the tokens of one segment alone."""
        _, _, fixed, tokens = self.groups.split(tensors)
        parts = [
            t.narrow(lane.time, segment.first, segment.size)
            for t, lane in zip(tokens, self.lanes, strict=True)
        ]
        return [*carry, *opens, *fixed, *parts, tensors[-1] + segment.first]

    def _whole(
        self, tokens: Tensors, segment: Segment, carry: Tensors, keep: bool
    ) -> tuple[Tensor, Tensors, Tensors]:
        """y [N, B, H, C, V], the carry after the chunks, and, to be kept, the states."""
        from kernels.deep_chunk import deep_forward  # triton is an extra

        blocks = self._pack(tokens, segment)
        chunks = self._chunks(blocks.qkv, blocks.filters)
        first, second = self._pair([t.flatten(0, 1).contiguous() for t in carry])
        factors = self.factors or chunks.q.dtype
        y, *found = deep_forward(*chunks, first, second, *self.form, keep, factors)
        lead = carry[0].shape[:2]
        after = [t.unflatten(0, lead) for t in found[:2] if t.numel()]
        states = [t.unflatten(1, lead) for t in found[2:] if t.numel()]
        return y.unflatten(1, lead), after, states

    def _pack(self, tokens: Tensors, segment: Segment, *, backward: bool = False) -> Packed:
        packed = [lane.pack(t, segment) for lane, t in zip(self.lanes, tokens, strict=True)]
        mask = packed.pop() if self.wire.masked else None
        gates = [t.requires_grad_(backward) for t in packed[3:]]
        with torch.set_grad_enabled(backward):
            return Packed(packed[:3], gates, self.gating.flat(gates, mask))

    def _pair(self, tensors: Sequence[Tensor]) -> tuple[Tensor | None, Tensor]:
        """Of both matrices; None for the first where there is one."""
        return (tensors[0] if len(tensors) == 2 else None), tensors[-1]

    def _chunks(self, qkv: Sequence[Tensor], flat: Sequence[Tensor]) -> Chunks:
        """The same tokens and filters as the kernels have them."""
        from kernels.deep_chunk import Chunks  # triton is an extra

        filters = list(self.gating.filters(flat).values())
        read = [f.before() if self.rule.read_at == "before" else f for f in filters]

        def both(tensors: Sequence[Tensor | None]) -> Tensor:
            return torch.stack([t for t in tensors if t is not None]).flatten(2, 3)

        none = torch.zeros_like(filters[0].b[..., -1])
        ends = [
            torch.stack([none if t is None else t[..., -1] for t in (f.b, f.c, f.m)], -1)
            for f in filters
        ]
        q, k, v = (t.flatten(1, 2) for t in qkv)
        return Chunks(
            q=q,
            k=k,
            v=v,
            b=both([f.b for f in read]),
            c=both([f.c for f in read]) if self.rule.has_momentum else None,
            A=both([f.A for f in read]),
            last=both([f.A[..., -1, :] for f in filters]),
            e=both([f.e for f in filters]) if self.rule.has_momentum else None,
            ends=both(ends),
        )

    # backward

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensors, gy: Tensor, g_after: Tensors
    ) -> Tensors:
        """See `Loop`."""
        carry, opens, _, tokens = self.groups.split(tensors)
        count = len(carry)
        g_carry, g_open = list(g_after[:count]), list(g_after[count:])
        g_tokens = [t.new_zeros(t.shape) for t in tokens if t.is_floating_point()]
        for segment in reversed(self._segments(tokens, tensors[-1])):
            if segment.kind == "whole":  # the next chunk opened at its end
                g_carry, g_open = self._fold_open(g_carry, g_open), []
                g_carry = self._whole_back(tokens, segment, kept[:count], gy, g_carry, g_tokens)
                continue
            here, at = carry, opens
            if segment.first:
                here = [t[0] for t in kept[count:]]
                at = self._opened(here)
            given = self._part(tensors, segment, here, at)
            known = [t.unsqueeze(0) for t in here]
            g = gy[:, segment.first : segment.end]
            found = super().backward(given, known, g, [*g_carry, *g_open])
            g_carry, g_open = found[:count], found[count : count + len(at)]
            for total, part, lane in zip(
                g_tokens, found[count + len(at) :], self.lanes, strict=False
            ):
                total.narrow(lane.time, segment.first, segment.size).copy_(part)
            if segment.first:  # its chunk opened at its carry
                g_carry, g_open = self._fold_open(g_carry, g_open), []
        g_open = g_open or [t.new_zeros(t.shape) for t in opens]
        return [*g_carry, *g_open, *g_tokens]

    def _whole_back(
        self,
        tokens: Tensors,
        segment: Segment,
        states: Tensors,
        gy: Tensor,
        g_carry: Tensors,
        g_tokens: Tensors,
    ) -> Tensors:
        """Gradients to the carry before whole chunks; those to their tokens go into `g_tokens`."""
        from kernels.deep_chunk import deep_backward  # triton is an extra

        blocks = self._pack(tokens, segment, backward=True)
        with torch.enable_grad():
            chunks = self._chunks(blocks.qkv, blocks.filters)
        tables = [t for t in chunks[3:] if t is not None]
        firsts, seconds = self._pair([t[: segment.count + 1].flatten(1, 2) for t in states])
        g_first, g_second = self._pair([t.flatten(0, 1).contiguous() for t in g_carry])
        found = deep_backward(
            Lane(1).pack(gy, segment).flatten(1, 2),
            g_first,
            g_second,
            *(None if t is None else t.detach().contiguous() for t in chunks),
            firsts,
            seconds,
            *self.form,
            self.factors or gy.dtype,
        )
        lead = g_carry[0].shape[:2]
        g_tables = [g for g, t in zip(found[3:9], chunks[3:], strict=True) if t is not None]
        g_gates = torch.autograd.grad(tables, blocks.gates, g_tables)
        g_blocks = [*(g.unflatten(1, lead) for g in found[:3]), *g_gates]
        for g, block, lane in zip(g_tokens, g_blocks, self.lanes, strict=False):
            lane.unpack(g, block, segment)
        return [g.unflatten(0, lead) for g in found[9:] if g.numel()]
