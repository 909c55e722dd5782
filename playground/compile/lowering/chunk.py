"""One chunk of any gradient rule as matrix products: the dual form, derived through `dense`.

key pass     the memory network on the keys, at the anchor, with a zero probe on every linear map;
             one gradient with respect to the probes gives every token's error signal D
query pass   the same network with every linear map reading token t's own memory (`Filtered`)
advance      the memory and momentum after the last token

Fixed-point passes repeat the key pass at the memories the previous pass implies. No weight matrix
is ever built per token. All tensors are [B, H, tokens, d] or [B, H, d_in, d_out]; memory and
momentum of one matrix lie side by side in one tensor [B, H, d_in, 2 d_out], the joint carry.
"""

from __future__ import annotations  # Dynamo must not evaluate nested annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule
from memory_rules.dense import Dense, Filtered, Plain, Probed
from memory_rules.filters import Filter

Leaves = dict[str, Tensor]


@dataclass(kw_only=True)
class Carry:
    """What one chunk hands to the next. `open` parts are None at a chunk's start.

    joint: memory and momentum side by side; dual: class D's accumulator;
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
    half = {n: w.shape[-1] // 2 for n, w in joint.items()}
    return (
        {n: w[..., : half[n]] for n, w in joint.items()},
        {n: w[..., half[n] :] for n, w in joint.items()},
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
    out = joint.shape[-1] // (2 if rule.has_momentum else 1)
    base, b = joint[..., :out], f.b[..., -1:]
    if start is not None:
        base = base - start
    if rule.side == "scalar":
        b = b.unsqueeze(-1)
    elif rule.side == "value":
        b = b.mT
    if not rule.has_momentum:
        after = b * base - _outer(rule, X, f.A[..., -1, :], D)
        return after if start is None else after + start
    assert f.c is not None and f.m is not None and f.e is not None
    c, m = f.c[..., -1:], f.m[..., -1:]
    if rule.side == "scalar":
        c, m = c.unsqueeze(-1), m.unsqueeze(-1)
        both = torch.cat([f.A[..., -1, :, None] * D, f.e[..., None] * D], -1)
        moved = X.mT @ both
        writes, surprise = moved[..., :out], moved[..., out:]
    else:
        c, m = (c.mT, m.mT) if rule.side == "value" else (c, m)
        writes = _outer(rule, X, f.A[..., -1, :], D)
        surprise = _outer(rule, X, f.e, D)
    momentum = joint[..., out:]
    memory = b * base + c * momentum - writes
    memory = memory if start is None else memory + start
    return torch.cat([memory, m * momentum - surprise], -1)


def _outer(rule: AbstractGradientRule, X: Tensor, a: Tensor, D: Tensor) -> Tensor:
    """Sum over tokens of a_i x_i^T d_i; a: [B, H, I], or [B, H, d, I] on one side."""
    if rule.side == "scalar":
        return X.mT @ (a.unsqueeze(-1) * D)
    if rule.side == "key":
        return (X.mT * a) @ D
    return X.mT @ (D * a.mT)


def chunk(
    rule: AbstractGradientRule,
    carry: Carry,
    start: Leaves,
    slow: Leaves,
    x: Tokens,
    *,
    closes: bool,
) -> tuple[Tensor, Carry]:
    """Outputs [B, H, C, V] and the carry after the tokens, all of one chunk.

    A carry without an anchor opens the chunk; otherwise it says where the chunk in progress opened.
    closes: the chunk ends after these tokens; otherwise it stays open and the carry says so.
    """
    memory, momentum = split(rule, carry.joint)
    outs = 2 if rule.has_momentum else 1
    shapes = {n: (w.shape[-2], w.shape[-1] // outs) for n, w in carry.joint.items()}
    filters = x.filters
    anchor = memory if carry.anchor is None else carry.anchor

    def after(joint: Leaves, X: Leaves, D: Leaves) -> Leaves:
        return {n: advance(rule, f, joint[n], start.get(n), X[n], D[n]) for n, f in filters.items()}

    X, D = key_pass(rule, Plain(anchor, slow), x, shapes)
    drafts = []
    before = {n: f.before() for n, f in filters.items()}  # dead code unless used below
    for level in range(rule.passes):
        draft = carry.joint if carry.drafts is None else carry.drafts[level]
        drafts.append(after(draft, X, D))
        w, s = split(rule, draft)
        X, D = key_pass(rule, Filtered(w, s, start, slow, before, X, D, rule.side), x, shapes)
    reading = before if rule.read_at == "before" else filters
    y = rule.read(Filtered(memory, momentum, start, slow, reading, X, D, rule.side), x.q)
    kept = {n: _last(rule, f) for n, f in filters.items()}
    if carry.kept is not None:
        kept = {n: carry.kept[n] * kept[n] for n in filters}
    after_last = Carry(
        joint=after(carry.joint, X, D), dual=carry.dual, anchor=anchor, drafts=drafts, kept=kept
    )
    return y, _closed(rule, after_last, start) if closes else after_last


def _last(rule: AbstractGradientRule, f: Filter) -> Tensor:
    """Retention over the whole chunk, against a matrix [B, H, d_in, d_out]."""
    b = f.b[..., -1:]
    return b.unsqueeze(-1) if rule.side == "scalar" else (b.mT if rule.side == "value" else b)


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
            closed[n] = torch.cat([closed[n], momentum[n]], -1)
    return Carry(joint=closed, dual=dual)


def opened(rule: AbstractGradientRule, carry: Carry) -> Carry:
    """The same carry with the open parts of a chunk that starts here written out."""
    memory, _ = split(rule, carry.joint)
    kept = None
    if rule.nonlinear_close:
        kept = {n: rule.ones_of_side(w) for n, w in memory.items()}
    drafts = [carry.joint] * rule.passes
    return Carry(joint=carry.joint, dual=carry.dual, anchor=memory, drafts=drafts, kept=kept)
