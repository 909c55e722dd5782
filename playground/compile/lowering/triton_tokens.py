"""Classes A and B in 16 bits, tokens read where they lie: nothing is between them and the memory.

That is a linear memory without momentum and with a scalar decay, if any: linear attention,
retention, SSD, the delta rules. Every other call goes to the scan over laid out chunks, and so do
those on GPUs before or after Hopper, for which these kernels are not tuned.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from kernels.assembler import HOPPER
from kernels.launch import interpreted
from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, Scan, State
from playground.compile.lowering.classify import classify
from playground.compile.lowering.kernel_call import factors_of
from playground.compile.lowering.recognise import recognise

HALVES = (torch.bfloat16, torch.float16)


def serves(rule: AbstractMemoryRule) -> bool:
    """Whether a rule is one of these."""
    kind, _ = classify(rule)
    if kind not in ("A", "B") or not isinstance(rule, AbstractGradientRule):
        return False
    known, _ = recognise(rule)
    plain = known is not None and not known.norm and not known.residual
    gated = rule.side == "scalar" and not rule.has_momentum and rule.decay_towards == "zero"
    return plain and gated and rule.read_at == "after"


class TokenScan:
    """A scan of a rule that `serves` takes; calls in other precisions go to another scan."""

    def __init__(self, rule: AbstractGradientRule, other: Scan) -> None:
        self.rule, self.other = rule, other
        (self.name,) = rule.shapes(4)
        self.corrects = classify(rule)[0] == "B"
        ours = type(rule).rates is AbstractGradientRule.rates
        self.steps = not (ours and rule.lr == "none")  # else every step is 1
        self.decays = not (ours and rule.decay == "none")
        # looked at here: a trace cannot ask a GPU
        found = torch.cuda.is_available()
        self.here = not found or torch.cuda.get_device_capability()[0] == HOPPER
        self.halves = (torch.float16,) if interpreted() else HALVES  # it computes bf16 wrongly

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        dtype = factors_of(inputs.q) or inputs.q.dtype
        if dtype not in self.halves or not self._fits(state, inputs):
            return self.other(rule, state, inputs)
        from kernels.decay_scan import decay_scan  # triton is an extra
        from kernels.delta_scan import delta_scan

        q, k, v = (t.to(dtype) for t in (inputs.q, inputs.k, inputs.v))
        lr, keep = self._gates(inputs)
        start = state.memory[self.name]
        if self.corrects:
            assert lr is not None
            decayed = self.rule.surprise_at == "decayed_memory"
            y, after = delta_scan(q, k, v, lr, keep, start, decayed=decayed)
        else:
            y, after = decay_scan(q, k, v, lr, keep, start)
        memory = TensorDict({self.name: after}, batch_size=state.batch_size)
        position = state.position + inputs.batch_size[1]
        return y.to(inputs.v.dtype), state.replace(memory=memory, position=position)

    def _fits(self, state: State, inputs: Inputs) -> bool:
        from kernels.tokens import CHUNK, MOST, WIDEST

        width = max(inputs.k.shape[-1], inputs.v.shape[-1])
        (batch, length), heads = inputs.batch_size, inputs.k.shape[2]
        few = batch * heads <= MOST and length <= MOST * CHUNK
        exact = state.memory[self.name].dtype == torch.float32
        return self.here and exact and few and length > 0 and width <= WIDEST

    def _gates(self, inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        """The step and what is kept of every token; padding adds nothing and keeps everything."""
        rates, mask = self.rule.rates(inputs), inputs.mask
        lr, keep = rates.lr[self.name].float(), rates.keep[self.name].float()
        if mask is not None:
            live = mask.unsqueeze(-1)
            lr, keep = torch.where(live, lr, 0.0), torch.where(live, keep, 1.0)
        steps = self.steps or self.corrects or mask is not None
        return lr if steps else None, keep if self.decays else None
