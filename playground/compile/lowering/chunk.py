"""One chunk of any gradient rule as matrix products: the dual form, derived through `dense`.

key pass     the memory network on the keys, at the anchor, with a zero probe on every linear map;
             one gradient with respect to the probes gives every token's error signal D
query pass   the same network with every linear map reading token t's own memory (`Filtered`)
advance      the memory and momentum after the last token

Where every token takes its gradient at its own memory, `solving.py` is the key pass.
Fixed-point passes repeat the key pass at the memories the previous pass implies. No weight matrix
is ever built per token. All tensors are [B, H, tokens, d] or [B, H, d_in, d_out]; memory and
momentum of one matrix lie in one tensor [B, H, 2 d_in, d_out], the joint carry.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule
from memory_rules.dense import Dense, Filtered, Plain, Probed
from memory_rules.filters import Filter
from playground.compile.lowering.solving import Leaves, solved


@dataclass(kw_only=True)
class Carry:
    """What one chunk hands to the next. `open` parts are None at a chunk's start.

    joint: memory, and momentum below it; dual: class D's accumulator;
    anchor, drafts, kept: of a chunk in progress (see State.anchor, State.recent).
    """

    joint: Leaves
    dual: Leaves = field(default_factory=dict)
    anchor: Leaves | None = None
    drafts: list[Leaves] | None = None
    kept: Leaves | None = None


@dataclass(kw_only=True)
class Tokens:
    """The tokens of one chunk, and the filter of every matrix over them.

    q: [B, H, C, K]; k, v: [B, H, I, d], I = window - 1 + C.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    filters: dict[str, Filter]


def split(rule: AbstractGradientRule, joint: Leaves) -> tuple[Leaves, Leaves]:
    """Memory and momentum, as views of the joint carry."""
    if not rule.has_momentum:
        return joint, {}
    half = {n: w.shape[-2] // 2 for n, w in joint.items()}
    return (
        {n: w[..., : half[n], :] for n, w in joint.items()},
        {n: w[..., half[n] :, :] for n, w in joint.items()},
    )


def key_pass(
    rule: AbstractGradientRule, inner: Dense, x: Tokens, shapes: Mapping[str, tuple[int, int]]
) -> tuple[Leaves, Leaves]:
    """Inputs X and error signals D of every linear map, [B, H, I, d_in] and [B, H, I, d_out]."""
    lead = x.k.shape[:-1]
    probes = {n: x.k.new_zeros(*lead, out) for n, (_, out) in shapes.items()}

    def loss(probes: Leaves) -> tuple[Tensor, Leaves]:
        dense = Probed(inner, probes)
        return rule.penalty(rule.read(dense, x.k), x.v), dense.seen

    D, X = torch.func.grad(loss, has_aux=True)(probes)
    return X, D


def advance(
    rule: AbstractGradientRule, f: Filter, joint: Tensor, start: Tensor | None, X: Tensor, D: Tensor
) -> Tensor:
    """The joint carry of one matrix after the last token of the chunk."""
    weights = [f.A[..., -1, :]] + ([] if f.e is None else [f.e])
    gates = [t[..., -1:] for t in (f.b, f.c, f.m) if t is not None]
    if rule.side == "scalar":
        gates = [t.unsqueeze(-1) for t in gates]
        moved = torch.cat([w.unsqueeze(-1) * X for w in weights], -1).mT @ D
    elif rule.side == "key":
        moved = torch.cat([X.mT * w for w in weights], -2) @ D
    else:
        gates = [t.mT for t in gates]
        moved = torch.cat([X.mT @ (D * w.mT) for w in weights], -2)
    rows = joint.shape[-2] // len(weights)
    memory = joint[..., :rows, :]
    after = gates[0] * (memory if start is None else memory - start)
    after = after if start is None else after + start
    if len(weights) == 1:
        return after - moved
    momentum = joint[..., rows:, :]
    return torch.cat([after + gates[1] * momentum, gates[2] * momentum], -2) - moved


def chunk(
    rule: AbstractGradientRule,
    carry: Carry,
    start: Leaves,
    slow: Leaves,
    x: Tokens,
    *,
    closes: bool,
    known: Leaves | None = None,
) -> tuple[Tensor, Leaves, Carry]:
    """Outputs [B, H, C, V], what the query pass said at every matrix, and the carry after it all.

    A carry without an anchor opens the chunk; otherwise it says where the chunk in progress opened.
    closes: the chunk ends after these tokens; otherwise it stays open and the carry says so.
    known: what an earlier run of the same chunk said.
    """
    memory, filters = split(rule, carry.joint)[0], x.filters
    shapes = {n: (w.shape[-2], w.shape[-1]) for n, w in memory.items()}
    anchor = memory if carry.anchor is None else carry.anchor

    def after(joint: Leaves, X: Leaves, D: Leaves) -> Leaves:
        return {n: advance(rule, f, joint[n], start.get(n), X[n], D[n]) for n, f in filters.items()}

    if rule.chunked:
        X, D = key_pass(rule, Plain(anchor, slow), x, shapes)
    else:
        X, D = _solved(rule, carry.joint, start, slow, x)
    drafts = []
    before = {n: f.before() for n, f in filters.items()}  # dead code unless used below
    for level in range(rule.passes):
        draft = carry.joint if carry.drafts is None else carry.drafts[level]
        drafts.append(after(draft, X, D))
        there = Filtered(draft, start, slow, before, X, D, rule.side)
        X, D = key_pass(rule, there, x, shapes)
    reading = before if rule.read_at == "before" else filters
    dense = Filtered(carry.joint, start, slow, reading, X, D, rule.side, known)
    y = rule.read(dense, x.q)
    joint, kept = after(carry.joint, X, D), _kept(rule, filters, carry.kept)
    last = Carry(joint=joint, dual=carry.dual, anchor=anchor, drafts=drafts, kept=kept)
    return y, dense.said, _closed(rule, last, start) if closes else last


def _solved(
    rule: AbstractGradientRule, joint: Leaves, start: Leaves, slow: Leaves, x: Tokens
) -> tuple[Leaves, Leaves]:
    """The key pass of the one matrix of classes A and B."""
    ((n, f),) = x.filters.items()
    X, D = solved(rule, f, start.get(n), slow, x.k, x.v, joint[n])
    return {n: X}, {n: D}


def _kept(
    rule: AbstractGradientRule, filters: Mapping[str, Filter], before: Leaves | None
) -> Leaves:
    """Retention since the chunk opened, against matrices [B, H, d_in, d_out]."""
    found: Leaves = {}
    for n, f in filters.items():
        b = f.b[..., -1:]
        b = b.unsqueeze(-1) if rule.side == "scalar" else (b.mT if rule.side == "value" else b)
        found[n] = b if before is None else before[n] * b
    return found


def _closed(rule: AbstractGradientRule, carry: Carry, start: Leaves) -> Carry:
    """The carry at the start of the next chunk."""
    if not rule.nonlinear_close:
        return Carry(joint=carry.joint)
    assert carry.anchor is not None and carry.kept is not None
    memory, momentum = split(rule, carry.joint)
    dual: Leaves = {}
    closed: Leaves = {}
    for n, kept in carry.kept.items():
        decayed = kept * carry.anchor[n]
        if n in start:
            decayed = decayed + (1.0 - kept) * start[n]
        closed[n], dual[n] = rule.close_matrix(
            decayed=decayed,
            linear=memory[n],
            momentum=momentum.get(n),
            dual=kept * carry.dual[n],
        )
        if n in momentum:
            closed[n] = torch.cat([closed[n], momentum[n]], -2)
    return Carry(joint=closed, dual=dual)


def opened(rule: AbstractGradientRule, carry: Carry) -> Carry:
    """The same carry with the open parts of a chunk that starts here written out."""
    memory, _ = split(rule, carry.joint)
    kept = None
    if rule.nonlinear_close:
        kept = {n: rule.ones_of_side(w) for n, w in memory.items()}
    drafts = [carry.joint] * rule.passes
    return Carry(joint=carry.joint, dual=carry.dual, anchor=memory, drafts=drafts, kept=kept)
