"""The chunked lowering: matrix products over whole chunks, in the form that a rule's class has."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, Scan, State
from playground.compile.lowering.affine import AffineScan
from playground.compile.lowering.base import Lowering
from playground.compile.lowering.classify import classify
from playground.compile.lowering.loop import Loop
from playground.compile.lowering.operator import LOOPS, chunk_loop
from playground.compile.lowering.pack import wire_of
from playground.compile.target import Target

_CLASSES: dict[str, list[type]] = {}  # what a rule is written as -> such as a cell run twice


class LoopScan:
    """One chunk after another, each in dual form, behind one operator."""

    def __init__(
        self,
        rule: AbstractGradientRule,
        *,
        compiled: bool,
        machine: Callable[..., Loop] = Loop,
        note: str = "",
    ) -> None:
        """machine: what runs the loop; note: what tells its loops from those of other machines."""
        self.rule = rule
        name = f"{_name(rule)}|compiled={compiled}{note}"
        self.wires = {masked: wire_of(rule, masked, compiled=compiled) for masked in (False, True)}
        self.loops = {masked: f"{name}|masked={masked}" for masked in (False, True)}
        for masked, loop in self.loops.items():  # here, not in a call: a trace must find them
            LOOPS.setdefault(loop, machine(self.wires[masked], compiled=compiled))

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        if inputs.batch_size[1] == 0:
            return torch.zeros_like(inputs.v), state
        masked = inputs.mask is not None
        wire, loop = self.wires[masked], self.loops[masked]
        carry, opens, fixed = wire.state_lists(state)
        tokens = wire.tokens_list(inputs, self.rule.rates(inputs), state)
        tensors = [*carry, *opens, *fixed, *tokens, state.position]
        keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        y, *after = chunk_loop(tensors, loop, keep, loop_factors(inputs.q.device.type))
        rest = iter(after)
        found = wire.open_of(wire.carry_of(rest), rest)
        return y.to(inputs.v.dtype), wire.state_of(found, state, inputs)


def _name(rule: AbstractGradientRule) -> str:
    """The same in every process, for caches of graphs; another for a class of the same name."""
    written = f"{type(rule).__module__}.{rule!r}"
    classes = _CLASSES.setdefault(written, [])
    if type(rule) not in classes:
        classes.append(type(rule))
    at = classes.index(type(rule))
    return f"{written}#{at}" if at else written


class AffineOrLoop:
    """Classes A and B compiled: on a CPU a loop over chunks, elsewhere all chunks at once.

    A chunk that follows another needs no map from state to state, only the state.
    """

    def __init__(self, rule: AbstractGradientRule) -> None:
        self.parallel = AffineScan(rule, compiled=True)
        self.loop = LoopScan(rule, compiled=True)

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        scan = self.loop if inputs.q.device.type == "cpu" else self.parallel
        return scan(rule, state, inputs)


def loops_on_cpu(rule: AbstractMemoryRule) -> bool:
    """Whether a rule of class A or B, compiled for a CPU, takes its chunks one after another.

    Not if errors are those of a decayed memory behind momentum: a filter does not tell what has
    decayed from what momentum has moved.
    """
    if not isinstance(rule, AbstractGradientRule) or classify(rule)[0] not in ("A", "B"):
        return False
    return not (rule.surprise_at == "decayed_memory" and rule.has_momentum)


def loop_factors(kind: str) -> torch.dtype | None:
    """The type of factors inside the loop: autocast's on a GPU; a CPU is slower with bf16."""
    lowered = kind == "cuda" and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if lowered else None


def _refuses(rule: AbstractMemoryRule, target: Target) -> str:
    kind, why = classify(rule)
    return f"no exact chunk form: {why}" if kind == "E" else ""


@lru_cache(maxsize=1024)
def _bind(rule: AbstractMemoryRule, compiled: bool) -> Scan:
    kind, why = classify(rule)
    if kind == "E" or not isinstance(rule, AbstractGradientRule):
        raise ValueError(f"{rule.kind}: chunked has no exact form for it: {why}")
    if kind not in ("A", "B"):
        return LoopScan(rule, compiled=compiled)
    if compiled and loops_on_cpu(rule):
        return AffineOrLoop(rule)
    return AffineScan(rule, compiled=compiled)


CHUNKED = Lowering(name="chunked", rank=1, refuses=_refuses, bind=_bind)
