"""One token at a time, without gradients: what the Triton lowering does for decoding.

Which kernel serves a rule, or why none does, is found when the scan is bound. In a call the
condition is one: a single token while gradients are off (`torch.no_grad`, `inference_mode`). Every
other call takes the scan over many tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import torch
from tensordict import TensorDict
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, Scan, State
from memory_rules.state import tensors
from playground.compile.lowering.classify import classify
from playground.compile.lowering.recognise import Known, recognise


@lru_cache(maxsize=1024)
def decoder(rule: AbstractMemoryRule) -> tuple[Known | None, str]:
    """What a kernel is told of a rule's memory, or None and why there is no kernel."""
    kind, _ = classify(rule)
    if kind not in ("A", "B", "C") or not isinstance(rule, AbstractGradientRule):
        return None, f"no kernel for class {kind}"
    if rule.window > 1:
        return None, "no kernel for a window of gradients"
    known, why = recognise(rule)
    if known is not None and kind != "C" and known.norm:
        return None, "no kernel for a norm where every token takes a gradient"
    return known, why


def says(rule: AbstractMemoryRule) -> str:
    """How single tokens are run, in words for a plan."""
    known, why = decoder(rule)
    return f"single tokens by the scan: {why}" if known is None else "single tokens by one kernel"


class Decoding:
    """A scan that hands single tokens to a kernel while gradients are off."""

    def __init__(self, rule: AbstractGradientRule, known: Known, many: Scan) -> None:
        self.rule, self.known, self.many = rule, known, many

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        if inputs.batch_size[1] != 1 or torch.is_grad_enabled():
            return self.many(rule, state, inputs)
        one = self.in_chunk if self.rule.chunked else self.token
        y, state = one(state, inputs[:, 0])
        return y.unsqueeze(1), state

    def token(self, state: State, x: Inputs) -> tuple[Tensor, State]:
        """One token of a linear memory: y [B, H, V] and the state after it."""
        from kernels.decode import Token, decode  # triton is an extra

        rule, (name,), rates = self.rule, self.known.names, self.rule.rates(x)
        eta = None if rates.momentum is None else rates.momentum[name]
        y, memory, momentum = decode(
            state.memory[name],
            state.momentum[name] if rule.has_momentum else None,
            Token(x.q, x.k, x.v, rates.lr[name], rates.keep[name], eta, x.mask),
            start=state.start[name] if rule.decay_towards == "start" else None,
            side=rule.side,
            squared=self.known.objective == "l2",
            residual=self.known.residual,
            decayed=rule.surprise_at == "decayed_memory",
            after=rule.read_at == "after",
        )
        moved = {} if momentum is None else {name: momentum}
        return y, state.replace(
            memory=TensorDict({name: memory}, batch_size=state.batch_size),
            momentum=TensorDict(moved, batch_size=state.batch_size),
            position=state.position + 1,
        )

    def in_chunk(self, state: State, x: Inputs) -> tuple[Tensor, State]:
        """One token of a memory with gradients at its chunk's start: as `token`."""
        from kernels.decode_deep import Deep, DeepToken, decode_deep  # triton is an extra

        rule, known, rates = self.rule, self.known, self.rule.rates(x)

        def of(group: Mapping[str, Tensor] | None) -> list[Tensor]:
            """Of every matrix; nothing where the rule has no such thing."""
            return [group[n] for n in known.names] if group else []

        before = Deep(
            of(tensors(state.memory)),
            of(tensors(state.momentum)),
            of(tensors(state.anchor)),
            of(tensors(state.start)),
            state.position,
        )
        lr, keep, eta = of(rates.lr), of(rates.keep), of(rates.momentum)
        y, last = decode_deep(
            before,
            DeepToken(x.q, x.k, x.v, lr, keep, eta, x.mask),
            chunk_size=rule.chunk_size,
            side=rule.side,
            objective=known.objective,
            delta=known.delta,
            residual=known.residual,
            norm=known.norm,
            after=rule.read_at == "after",
        )

        def named(group: Sequence[Tensor]) -> TensorDict:
            leaves = dict(zip(known.names, group, strict=True)) if group else {}
            return TensorDict(leaves, batch_size=state.batch_size)

        return y, state.replace(
            memory=named(last.memory),
            momentum=named(last.momentum),
            anchor=named(last.anchor),
            position=last.position,
        )


Bind = Callable[[AbstractMemoryRule, bool], Scan]


def with_decoding(bind: Bind) -> Bind:
    """The same scans, with the kernel for single tokens where there is one."""

    def bound(rule: AbstractMemoryRule, compiled: bool) -> Scan:
        many, (known, _) = bind(rule, compiled), decoder(rule)
        if known is None or not isinstance(rule, AbstractGradientRule):
            return many
        return Decoding(rule, known, many)

    return bound
