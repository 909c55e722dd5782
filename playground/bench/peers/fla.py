"""fla-core's kernels for our rules: the same mathematics, so the same gate.

What is different is only how gates are written. Its decay is a logarithm, log(1 - decay); its
`beta` is twice our lr, since our objective has no 1/2; its queries are scaled by 1 / sqrt(d) unless
told `scale=1`; a step of ours that is not 1 is put into the values, which it multiplies. States are
[B, H, K, V] in both. Its operators switch torch.compile off, so there is one way to run them.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from blocks.memory import MemoryLayer
from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, State
from playground.bench.cell import Cell, Prepared
from playground.bench.peers.base import missing, refused_cell
from playground.bench.rules import RuleWork

Op = Callable[..., Any]
SMALLEST = 1e-30  # added to a gate of 0 before its logarithm is taken


@dataclass(frozen=True, kw_only=True)
class Family:
    """Operators of one rule: where they are, and which of our gates they have.

    module, chunk, step: names; the second for whole sequences, the third token by token.
    corrects: it has a `beta` (delta rules); decays: it has a decay, called `decay` in `chunk` and
    `step_decay` in `step`.
    """

    module: str
    chunk: str
    step: str
    corrects: bool = False
    decay: str = ""
    step_decay: str = ""


DELTA = Family(
    module="delta_rule",
    chunk="chunk_delta_rule",
    step="fused_recurrent_delta_rule",
    corrects=True,
)
GATED = Family(
    module="gated_delta_rule",
    chunk="chunk_gated_delta_rule",
    step="fused_recurrent_gated_delta_rule",
    corrects=True,
    decay="g",
    step_decay="g",
)
SIMPLE = Family(
    module="simple_gla",
    chunk="chunk_simple_gla",
    step="fused_recurrent_simple_gla",
    decay="g",
    step_decay="g",
)
PLAIN = replace(SIMPLE, decay="", step_decay="")
GLA = Family(
    module="gla",
    chunk="chunk_gla",
    step="fused_recurrent_gla",
    decay="g",
    step_decay="gk",
)
FAMILIES: dict[str, Family] = {
    "delta": DELTA,
    "gated_delta": GATED,
    "linear_attention": PLAIN,
    "retention": SIMPLE,
    "ssd": SIMPLE,
    "gla": GLA,
}


class FlaScan:
    """A scan of one rule by an operator of fla-core.

    Args:
        op: the operator, or one with its arguments: q, k, v [B, T, H, d], and by name those of the
            family, `scale`, `initial_state` [B, H, K, V] and `output_final_state`.
        family: which gates it takes.
        decay: what it calls its decay.
    """

    def __init__(self, op: Op, family: Family, decay: str) -> None:
        self.op, self.family, self.decay = op, family, decay

    def __call__(
        self, rule: AbstractMemoryRule, state: State, inputs: Inputs
    ) -> tuple[Tensor, State]:
        """y [B, T, H, V] and the state after the tokens."""
        assert isinstance(rule, AbstractGradientRule)
        (name,) = state.memory.keys()
        rates = rule.rates(inputs)
        lr, keep, told = rates.lr[name], rates.keep[name], dict[str, Any]()
        kind = inputs.q.device.type
        lowered = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if lowered else inputs.v.dtype
        q, k, v = (t.to(dtype) for t in (inputs.q, inputs.k, inputs.v))
        if self.family.corrects:
            told["beta"] = (2.0 * lr).to(v.dtype)
        else:
            ours = type(rule).rates is AbstractGradientRule.rates
            v = v if ours and rule.lr == "none" else (v * lr.unsqueeze(-1)).to(v.dtype)
        if self.decay:
            told[self.decay] = torch.log(keep.float() + SMALLEST)
        y, last = self.op(
            q,
            k,
            v,
            scale=1.0,
            initial_state=state.memory[name].contiguous(),
            output_final_state=True,
            **told,
        )
        memory = state.memory.clone(recurse=False)
        memory[name] = last
        position = state.position + inputs.batch_size[1]
        return y.to(inputs.v.dtype), state.replace(memory=memory, position=position)


def with_fla(model: Any) -> Any:
    """A model whose memories, all gated delta rules, are run by fla's kernels; for whole calls."""
    from playground.bench.peers.fla_op import gated_delta

    for module in model.modules():
        if isinstance(module, MemoryLayer):
            module.scan = FlaScan(gated_delta, GATED, "g")
    return model


def cells(work: RuleWork) -> Sequence[Cell]:
    """Its chunked operator, or, where tokens are decoded, its recurrent one."""
    path = "peer: fla"
    family = FAMILIES.get(work.rule.kind)
    if family is None:
        return ()
    reason = _refuses(work)
    if reason:
        return (refused_cell(path, reason),)
    step = work.mode == "decode"

    def prepare() -> Prepared:
        module = importlib.import_module(f"fla.ops.{family.module}")
        name = family.step if step else family.chunk
        decay = family.step_decay if step else family.decay
        scan = FlaScan(getattr(module, name), family, decay)
        return work.prepared(scan, f"fla {name}", True)

    return (Cell(path=path, prepare=prepare),)


def _refuses(work: RuleWork) -> str:
    """Why its operators cannot run here; empty if they can."""
    if why := missing("fla"):
        return why
    if work.device != "cuda":
        return f"fla-core needs CUDA, target is {work.device}"
    return "fla-core has no fp64" if work.shape.dtype == "fp64" else ""
