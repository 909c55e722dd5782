"""The Triton lowering: kernels for what torch.compile cannot reach.

Classes A and B: what tokens write is an affine map of the state at their chunk's start, and the
scan over chunks with all that is read from it is one operator (`kernels.chunk_scan`).
Class C: `triton_deep.py`.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

import torch
from torch import Tensor

from kernels.assembler import wrong_on
from kernels.launch import installed, interpreted
from memory_rules import AbstractGradientRule, AbstractMemoryRule, Scan
from memory_rules.filters import Filter
from memory_rules.titans import Titans
from playground.compile.lowering import triton_deep
from playground.compile.lowering.affine import AffineScan, Lanes, Leaves, Solved
from playground.compile.lowering.base import Lowering
from playground.compile.lowering.classify import classify
from playground.compile.lowering.kernel_call import chunk_of, factors_of, flat, solved_by_kernel
from playground.compile.lowering.triton_channel import ChannelKernelScan
from playground.compile.lowering.triton_decode import says, with_decoding
from playground.compile.lowering.triton_tokens import TokenScan, serves
from playground.compile.target import Target
from playground.errors import LoweringError

KERNELS = frozenset({"A", "B", "C"})  # classes of rules that have one


class KernelScan(AffineScan):
    """An affine scan whose chunks are run by `kernels.chunk_scan`."""

    def __init__(self, rule: AbstractGradientRule, *, compiled: bool) -> None:
        super().__init__(rule, compiled=compiled)
        self.solved = torch.compile(self.solve, fullgraph=True) if compiled else self.solve

    def _chunk(self, length: int) -> int:
        return chunk_of(self.rule, length)

    def _filter(self, x: Lanes) -> Filter:
        from kernels.gate_filter import gate_filter  # triton is an extra

        return Filter(*gate_filter(x.lr, x.keep, x.momentum, x.mask))

    def _unit_solve(self, system: Tensor, right: Tensor) -> Tensor:
        return solved_by_kernel(system, right)

    def run(
        self, x: Lanes, slow: Leaves, target: Tensor | None, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `AffineScan`."""
        solved = self.solved(x, slow, target)
        f = solved.f.before() if self.rule.read_at == "before" else solved.f
        reading = Reading(solved, f, start, slow, target)
        y = self.rule.read(reading, x.q)
        return y, reading.last.unflatten(0, start.shape[:2])


class Reading:
    """A `dense` whose one linear map every token reads with its own memory, in a kernel.

    last: the state after the last chunk, [B * H, R, V]; there once the map was called.
    """

    def __init__(
        self, solved: Solved, read: Filter, start: Tensor, slow: Leaves, target: Tensor | None
    ) -> None:
        self.solved, self.read, self.start = solved, read, start
        self._slow, self.target, self.last = slow, target, start

    def __call__(self, name: str, x: Tensor) -> Tensor:
        from kernels.chunk_scan import Chunks, chunk_scan  # triton is an extra

        f, X, fixed, by_state = self.solved
        ends = [t[..., -1] for t in (f.b, f.c, f.m) if t is not None]
        ends += [torch.zeros_like(ends[0])] * (3 - len(ends))
        chunks = Chunks(
            q=flat(x),
            x=flat(X),
            d=flat(fixed),
            w=None if by_state is None else flat(by_state),
            b=flat(self.read.b),
            c=None if self.read.c is None else flat(self.read.c),
            A=flat(self.read.A),
            last=flat(f.A[..., -1, :]),
            e=None if f.e is None else flat(f.e),
            ends=flat(torch.stack(ends, -1)),
        )
        y, self.last = chunk_scan(chunks, self.start.flatten(0, 1), factors_of(x))
        y = y.unflatten(1, x.shape[1:3])
        return y if self.target is None else y + x @ self.target

    def slow(self, name: str) -> Tensor:
        return self._slow[name].unsqueeze(-2)


def _refuses(rule: AbstractMemoryRule, target: Target) -> str:
    if target.device != "cuda" and not interpreted():
        return f"needs CUDA, target is {target.device}"
    kind, _ = classify(rule)
    if kind == "C" and (why := triton_deep.refuses(rule, target.capability)):
        return why
    if kind not in KERNELS or not isinstance(rule, AbstractGradientRule):
        return f"no kernel for class {kind}"
    if rule.side == "value":
        return "no kernel for a decay per value channel"
    here = target.capability is not None or target.device != "cuda"  # else a plan for elsewhere
    if here and not installed():
        return "triton is not installed"
    if target.device != "cuda" or target.capability is None:
        return ""
    return wrong_on(target.capability[0])


def _bind(rule: AbstractMemoryRule, compiled: bool) -> Scan:
    kind, _ = classify(rule)
    if kind == "C" and isinstance(rule, Titans) and not triton_deep.refuses(rule, None):
        return triton_deep.DeepScan(rule, compiled=compiled)
    if kind not in KERNELS - {"C"} or not isinstance(rule, AbstractGradientRule):
        why = {"triton": f"no kernel for class {kind}"}
        raise LoweringError(rule.kind, "triton cannot run it.", why)
    kernels = ChannelKernelScan if rule.side == "key" else KernelScan
    laid_out = kernels(rule, compiled=compiled)
    return TokenScan(rule, laid_out) if serves(rule) else laid_out


ASKED = "one kind of GPU alone has run its kernels, an H200; write lowering: triton to use them"
BIND = with_decoding(_bind)  # single tokens without gradients have kernels of their own
TRITON = Lowering(name="triton", rank=0, refuses=_refuses, bind=BIND, by_name=ASKED, says=says)
