"""Diagnostics of a memory: what its gates say, how surprised it is, how large it has grown."""

from typing import NamedTuple

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs, State
from memory_rules.dense import Plain, Probed


class Seen(NamedTuple):
    """One call of a memory layer, cut from the graph."""

    inputs: Inputs
    before: State
    after: State

    @classmethod
    def of(cls, inputs: Inputs, before: State, after: State) -> "Seen":
        return cls(inputs.detach(), before.detach(), after.detach())


@torch.no_grad()
def summarise(rule: AbstractMemoryRule, seen: Seen) -> dict[str, float]:
    """Means over batch, tokens and heads; padding does not count."""
    inputs, live = seen.inputs, seen.inputs.mask
    if inputs.batch_size.numel() == 0:
        return {}
    means = {
        name: sum(_mean(g, live) for g in gate.values()) / len(gate)
        for name, gate in inputs.gates.items()
    }
    if isinstance(rule, AbstractGradientRule):
        means["surprise_norm"] = _mean(surprise_norm(rule, seen.before, inputs), live)
        means["surprise_norm_after"] = _mean(surprise_norm(rule, seen.after, inputs), live)
    squares = [w.square().sum((-2, -1)) for w in seen.after.memory.values()]
    means["memory_norm"] = float(sum(squares, torch.zeros(())).sqrt().mean())
    return means


def surprise_norm(rule: AbstractGradientRule, state: State, inputs: Inputs) -> Tensor:
    """Norm of each token's surprise at the memory as it stands, [B, T, H].

    A token's surprise at a matrix is the outer product of what enters it and its error signal, so
    its norm is the product of theirs, and one key pass gives them for all tokens.
    """
    dtype = next(iter(state.memory.values())).dtype
    k, v = (t.transpose(1, 2).to(dtype) for t in (inputs.k, inputs.v))
    probes = {
        n: torch.zeros(*k.shape[:-1], w.shape[-1], dtype=dtype, device=w.device)
        for n, w in state.memory.items()
    }

    def loss(probes: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        dense = Probed(Plain(state.memory, state.slow), probes)
        return rule.penalty(rule.read(dense, k), v), dense.seen

    errors, entering = torch.func.grad(loss, has_aux=True)(probes)
    squares = [
        entering[n].square().sum(-1) * errors[n].square().sum(-1) for n in errors if n in entering
    ]
    return sum(squares, torch.zeros_like(k[..., 0])).sqrt().transpose(1, 2)


def _mean(x: Tensor, live: Tensor | None) -> float:
    """Mean of [B, T, ...] over the tokens that are not padding."""
    return float((x if live is None else x[live]).mean())
