"""Classes C, C' and D in chunks: matrix products inside a chunk, one chunk after another."""

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, Inputs, State
from playground.compile.lowering.loop import Loop
from playground.compile.lowering.operator import LOOPS, chunk_loop
from playground.compile.lowering.pack import Wire, wire_of


class ChunkedScan:
    """A scan bound to one rule; `compiled` says whether its bodies go through torch.compile."""

    def __init__(self, rule: AbstractGradientRule, *, compiled: bool) -> None:
        self.rule, self.compiled = rule, compiled
        self.name = f"{type(rule).__module__}.{rule!r}|compiled={compiled}"

    def __call__(
        self, rule: AbstractGradientRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        if inputs.batch_size[1] == 0:
            return torch.zeros_like(inputs.v), state
        wire = wire_of(self.rule, state, inputs.mask is not None)
        loop = self._loop(wire)
        carry, opens, fixed = wire.state_lists(state)
        tokens = wire.tokens_list(inputs, self.rule.rates(inputs), state)
        tensors = [*carry, *opens, *fixed, *tokens, state.position]
        keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        y, *after = chunk_loop(tensors, loop, keep)
        rest = iter(after)
        found = wire.open_of(wire.carry_of(rest), rest)
        return y.to(inputs.v.dtype), wire.state_of(found, state, inputs)

    def _loop(self, wire: Wire) -> str:
        name = f"{self.name}|masked={wire.masked}"
        if name not in LOOPS:
            LOOPS[name] = Loop(wire, compiled=self.compiled)
        return name
