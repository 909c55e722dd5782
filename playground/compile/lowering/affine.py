"""Classes A and B in chunks: every chunk's work in parallel, then a scan over chunk states.

One triangular solve (`solving.py`) gives what tokens write as an affine map of the state at their
chunk's start. So a chunk moves its state affinely, and only that small recurrence is sequential.
The chunk length here is execution: it changes no number.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, State
from memory_rules.dense import Filtered
from memory_rules.filters import Filter
from playground.compile.lowering.classify import classify
from playground.compile.lowering.gating import make_rows
from playground.compile.lowering.segments import chunk_length
from playground.compile.lowering.solving import (
    Errors,
    Leaves,
    by_row,
    errors,
    scores,
    unit_solve,
)
from playground.compile.lowering.state_scan import state_scan


class Lanes(NamedTuple):
    """Tokens laid out in chunks: [N, B, H, C, d]; gates [N, B, H, C], channel gates [.., C, d]."""

    q: Tensor
    k: Tensor
    v: Tensor
    lr: Tensor
    keep: Tensor
    momentum: Tensor | None
    mask: Tensor | None  # [N, B, 1, C]


class Solved(NamedTuple):
    """What tokens write, D, as an affine map of the state at the chunk's start: [N, B, H, ...]."""

    f: Filter
    X: Tensor
    fixed: Tensor  # D at a state of zero, [.., C, V]
    by_state: Tensor | None  # D per unit of state, [.., C, R]; None for class A


class Moves(NamedTuple):
    """A chunk as an affine map of its state [memory; momentum], rows stacked."""

    move: Tensor  # [.., R, R]
    write: Tensor  # [.., R, V]


class AffineScan:
    """A scan bound to one rule of class A or B."""

    def __init__(self, rule: AbstractGradientRule, *, compiled: bool) -> None:
        self.rule, self.kind = rule, classify(rule)[0]
        if self.kind not in ("A", "B"):
            raise ValueError(f"{rule.kind}: class {self.kind} has no affine chunk form.")
        (self.name,) = rule.shapes(4)
        self.turned = rule.side == "value"  # gates then act on columns: keep the transpose
        self.compiled = compiled
        self.prepare, self.output = self._prepare, self._output
        if compiled:
            self.prepare = torch.compile(self._prepare, fullgraph=True, dynamic=True)
            self.output = torch.compile(self._output, fullgraph=True, dynamic=True)

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        length = inputs.batch_size[1]
        if length == 0:
            return torch.zeros_like(inputs.v), state
        x = self._lanes(state, inputs)
        n = self.name
        target = state.start[n] if self.rule.decay_towards == "start" else None
        slow = dict(state.slow.items())
        memory = state.memory[n] if target is None else state.memory[n] - target
        rows = [memory, state.momentum[n]] if self.rule.has_momentum else [memory]
        rows = [w.mT for w in rows] if self.turned else rows
        y, last = self.run(x, slow, target, torch.cat(rows, -2).contiguous())
        y = y.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :length]
        return y.to(inputs.v.dtype), self._state(state, last, target, length)

    def run(
        self, x: Lanes, slow: Leaves, target: Tensor | None, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What tokens read, [N, B, H, C, V], and the state's rows after the last chunk."""
        solved, moves = self.prepare(x, slow, target)
        states = state_scan(moves.move, moves.write, start)
        return self.output(x, slow, target, solved, states[:-1]), states[-1]

    def _state(self, state: State, last: Tensor, target: Tensor | None, length: int) -> State:
        parts = self._parts(last)
        memory = parts[0] if target is None else parts[0] + target
        size, n = state.batch_size, self.name
        momentum = {n: parts[1]} if self.rule.has_momentum else {}
        return state.replace(
            memory=TensorDict({n: memory}, batch_size=size),
            momentum=TensorDict(momentum, batch_size=size),
            position=state.position + length,
        )

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """Memory and, if there is one, momentum; from rows stacked."""
        parts = rows.chunk(2, -2) if self.rule.has_momentum else (rows,)
        return [w.mT for w in parts] if self.turned else list(parts)

    def _chunk(self, length: int) -> int:
        """Tokens of a chunk, of so many."""
        return min(length, chunk_length(self.rule))

    def _lanes(self, state: State, inputs: Inputs) -> Lanes:
        rates, n = self.rule.rates(inputs), self.name
        dtype, length = state.memory[n].dtype, inputs.batch_size[1]
        size = self._chunk(length)
        extra = -length % size

        def lay(t: Tensor, fill: float = 0.0) -> Tensor:
            """[B, T, H, ...] -> [N, B, H, C, ...]; slots after the end hold `fill`."""
            t = t.to(dtype)
            if extra:
                pad = (0,) * (2 * (t.ndim - 2)) + (0, extra)
                t = F.pad(t, pad, value=fill)
            return t.unflatten(1, (-1, size)).movedim(1, 0).transpose(2, 3)

        mask = inputs.mask
        if mask is None and extra and rates.momentum is not None:
            mask = torch.ones_like(inputs.k[:, :, 0, 0], dtype=torch.bool)  # slots do not coast
        if mask is not None:
            mask = F.pad(mask, (0, extra)).unflatten(1, (-1, size)).movedim(1, 0).unsqueeze(2)
        momentum = None if rates.momentum is None else lay(rates.momentum[n], 1.0)
        return Lanes(
            lay(inputs.q),
            lay(inputs.k),
            lay(inputs.v),
            lay(rates.lr[n]),
            lay(rates.keep[n], 1.0),
            momentum,
            mask,
        )

    def _filter(self, x: Lanes) -> Filter:
        mask = None if x.mask is None else x.mask.squeeze(2)
        made = make_rows(x.lr, x.keep, x.momentum, None, mask, compiled=self.compiled)
        return made.filter()

    # in parallel over chunks

    def _prepare(self, x: Lanes, slow: Leaves, target: Tensor | None) -> tuple[Solved, Moves]:
        solved = self.solve(x, slow, target)
        f, X, fixed, by_state = solved
        move = self._retained(f, X)
        if by_state is not None:
            move = move - self._writes(f, X, by_state)
        write = self._writes(f, X, fixed)
        return solved, Moves(move.to(X.dtype), write.to(X.dtype))  # autocast lowers products

    def solve(self, x: Lanes, slow: Leaves, target: Tensor | None) -> Solved:
        """What tokens write, whatever the state they meet."""
        f, (X, d, slope) = self._filter(x), self._errors(x, slow, target)
        if slope is None:
            return Solved(f, X, d, None)
        before = f.before()
        if self.rule.surprise_at == "decayed_memory":
            keep = x.keep if x.mask is None else torch.where(_wide(x.mask, x.keep), x.keep, 1.0)
            before = before.scaled(keep.mT if self.rule.side == "key" else keep)
        states = [by_row(self.rule.side, b, X) for b in (before.b, before.c) if b is not None]
        return Solved(f, X, *self._signals(scores(self.rule.side, before, X), states, d, slope))

    def _errors(self, x: Lanes, slow: Leaves, target: Tensor | None) -> Errors:
        """Of states that lie around a target."""
        found = errors(self.rule, slow, x.k, x.v, affine=self.kind == "B")
        if found.slope is None or target is None:
            return found
        return found._replace(d=found.d + found.slope * (found.X @ target))

    def _signals(
        self, met: Tensor, states: list[Tensor], d: Tensor, slope: Tensor
    ) -> tuple[Tensor, Tensor]:
        """D at a state of zero, and per unit of state; from what tokens meet before their write."""
        right = torch.cat([d, *[slope * t for t in states]], -1)
        solved = self._unit_solve(slope * met, right)
        return solved[..., : d.shape[-1]], solved[..., d.shape[-1] :]

    def _unit_solve(self, system: Tensor, right: Tensor) -> Tensor:
        """See `unit_solve`; kernels have their own."""
        return unit_solve(system, right)

    def _writes(self, f: Filter, X: Tensor, D: Tensor) -> Tensor:
        """Sums of outer products that enter memory and momentum, rows stacked: [.., R, V]."""
        weights = [f.A[..., -1, :]] + ([] if f.e is None else [f.e])
        if self.rule.side == "scalar":
            both = torch.cat([w.unsqueeze(-1) * X for w in weights], -1)
            return both.mT @ D
        if self.rule.side == "key":
            return torch.cat([X.mT * w for w in weights], -2) @ D
        return torch.cat([D.mT * w for w in weights], -2) @ X

    def _retained(self, f: Filter, X: Tensor) -> Tensor:
        """The part of `move` that the gates alone make: [.., R, R]."""
        size = f.b.shape[-2] if self.turned else X.shape[-1]
        eye = torch.eye(size, dtype=X.dtype, device=X.device)

        def diagonal(t: Tensor) -> Tensor:
            last = t[..., -1:]
            return (last.unsqueeze(-1) if self.rule.side == "scalar" else last) * eye

        if f.c is None or f.m is None:
            return diagonal(f.b)
        top = torch.cat([diagonal(f.b), diagonal(f.c)], -1)
        low = diagonal(f.m)
        return torch.cat([top, torch.cat([torch.zeros_like(low), low], -1)], -2)

    def _output(
        self, x: Lanes, slow: Leaves, target: Tensor | None, chunks: Solved, states: Tensor
    ) -> Tensor:
        D = chunks.fixed
        if chunks.by_state is not None:
            D = D + chunks.by_state @ states
        parts = self._parts(states)
        memory = parts[0] if target is None else parts[0] + target
        joint = torch.cat([memory, *parts[1:]], -2)
        start = {} if target is None else {self.name: target}
        f = chunks.f.before() if self.rule.read_at == "before" else chunks.f
        reading = Filtered(
            {self.name: joint},
            start,
            slow,
            {self.name: f},
            {self.name: chunks.X},
            {self.name: D},
            self.rule.side,
        )
        return self.rule.read(reading, x.q)


def _wide(mask: Tensor, keep: Tensor) -> Tensor:
    return mask.unsqueeze(-1) if keep.ndim > mask.ndim else mask
