"""Forward FLOPs of a memory rule per token and head, by the form that computes it.

A multiplication and an addition are two. Matrix products and triangular solves only: gates, norms
and activations are left out. For one MLP under scalar gates with momentum, P numbers of which P_1
are in the first layer, a chunk of C tokens costs per token

    12 P - 2 P_1 + 2 C sum(d_in + d_out)

(key pass 2 P forward and 2 P - 2 P_1 back, query pass 4 P, writes 4 P, and the products inside the
chunk). Every other choice of a rule adds its own terms below.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Inputs
from memory_rules.testing import make_case
from playground.compile.lowering.classify import classify
from playground.compile.lowering.segments import chunk_length

Parts = dict[str, float]
Shapes = Mapping[str, tuple[int, int]]


def rule_flops(
    rule: AbstractMemoryRule, dim: int, *, lowering: str = "chunked", length: int | None = None
) -> Parts:
    """FLOPs per token and head, by part; their sum is the whole.

    Args:
        rule: any rule.
        dim: width of a head.
        lowering: recurrent or chunked; any other form is taken to do what chunked does.
        length: tokens of the call; shorter than a chunk, they make a shorter chunk.
    """
    if not isinstance(rule, AbstractGradientRule):
        return {"step": float(_counted_step(rule, dim))}
    kind, _ = classify(rule)
    if lowering == "recurrent" or kind == "E":
        return _recurrent(rule, dim)
    size = _at_most(chunk_length(rule), length)
    return _chunk(rule, dim, size) if rule.chunked else _affine(rule, kind, dim, size)


def read_flops(rule: AbstractMemoryRule, dim: int) -> float:
    """FLOPs per token and head of reading a memory that is not written."""
    return 2.0 * _numbers(rule.shapes(dim))


def _at_most(size: int, length: int | None) -> int:
    return size if length is None else max(1, min(size, length))


def _numbers(shapes: Shapes) -> float:
    return float(sum(rows * columns for rows, columns in shapes.values()))


def _later(rule: AbstractGradientRule, shapes: Shapes) -> Shapes:
    """The matrices whose input depends on another's output: errors flow back through them."""
    trace = _Trace(rule)
    rule.read(trace, torch.zeros(1, 1, 1, 4))
    return {n: shape for n, shape in shapes.items() if n in trace.later}


class _Trace:
    """A `dense` that notes which matrices have an input that an earlier one had a part in."""

    def __init__(self, rule: AbstractGradientRule) -> None:
        self.shapes, self.slow_shapes = rule.shapes(4), rule.slow_shapes(4)
        self.later: set[str] = set()

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.later.add(name)
        return torch.zeros(*x.shape[:-1], self.shapes[name][1], requires_grad=True)

    def slow(self, name: str) -> Tensor:
        return torch.zeros(1, 1, 1, self.slow_shapes[name])


# token by token


def _recurrent(rule: AbstractGradientRule, dim: int) -> Parts:
    """A gradient per token (and pass, and token of a window), the write, and the read."""
    shapes = rule.shapes(dim)
    back = _numbers(_later(rule, shapes))
    gradient = 4.0 * _numbers(shapes) + 2.0 * back  # forward, errors, outer products
    found = {
        "surprise": gradient * rule.window * (1 + rule.passes),
        "read": read_flops(rule, dim),
    }
    return found | _close(rule, shapes, rule.chunk_size)


def _counted_step(rule: AbstractMemoryRule, dim: int) -> int:
    """FLOPs of one step of a rule that writes its own; counted, there is no formula for it."""
    case = make_case(rule, B=1, T=1, H=1, dim=dim)
    token: Inputs = case.inputs[:, 0]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        rule.step(case.state(), token)
    return counter.get_total_flops()


# classes C, C' and D


def _chunk(rule: AbstractGradientRule, dim: int, size: int) -> Parts:
    shapes = rule.shapes(dim)
    back, seen = _later(rule, shapes), size + rule.window - 1
    more = seen / size  # keys per token of the chunk: a window looks back
    writes = 2.0 * _numbers(shapes) * (2 if rule.has_momentum else 1) * more
    found = {
        "keys": 2.0 * more * (_numbers(shapes) + _numbers(back)),
        "queries": _filtered(rule, shapes, seen),
        "writes": writes,
        "passes": rule.passes
        * (writes + _filtered(rule, shapes, seen) + _filtered(rule, back, seen)),
        "window": _window(rule, shapes, size, seen),
    }
    return found | _close(rule, shapes, size)


def _filtered(rule: AbstractGradientRule, shapes: Shapes, seen: int) -> float:
    """Every token through its own memory: the start of the chunk, and what `seen` keys wrote."""
    starts = 1 + rule.has_momentum + (rule.decay_towards == "start")
    rows = 0 if rule.side == "key" else 1  # channels of keys meet in a sum, not in a product
    mixing = sum(rows * i + o for i, o in shapes.values())
    return 2.0 * starts * _numbers(shapes) + 2.0 * seen * mixing


def _window(rule: AbstractGradientRule, shapes: Shapes, size: int, seen: int) -> float:
    """A window's band in the filter, [C, C] @ [C, I] per chunk, and its last row of momentum."""
    if rule.window == 1:
        return 0.0
    momentum = 2.0 * seen if rule.has_momentum else 0.0
    per_filter = 2.0 * size * seen + momentum
    filters = {"key": 0, "value": 1}.get(rule.side)
    return per_filter * sum(1 if filters is None else s[filters] for s in shapes.values())


def _close(rule: AbstractGradientRule, shapes: Shapes, size: int) -> Parts:
    """Class D: the nonlinear end of a chunk. Counted, since a rule may write any map there."""
    if not rule.nonlinear_close:
        return {}
    total = 0
    for rows, columns in shapes.values():
        w = torch.empty(1, 1, rows, columns, device="meta")
        momentum = w if rule.has_momentum else None
        with FlopCounterMode(display=False) as counter:
            rule.close_matrix(decayed=w, linear=w, momentum=momentum, dual=w)
        total += counter.get_total_flops()
    return {"close": total / size}


# classes A and B


def _affine(rule: AbstractGradientRule, kind: str, dim: int, size: int) -> Parts:
    """Chunks of `size` tokens in parallel, then a scan over states of `rows` x `columns`."""
    shapes = rule.shapes(dim)
    ((d_in, d_out),) = shapes.values()
    rows, columns = (d_out, d_in) if rule.side == "value" else (d_in, d_out)
    rows *= 1 + rule.has_momentum
    found = {
        "queries": _filtered(rule, shapes, size),
        "writes": 2.0 * rows * columns,
        "scan": 2.0 * rows * rows * columns / size,
    }
    if kind == "B":
        scores = 2.0 * size * d_in if rule.side == "scalar" else 0.0
        target = 2.0 * d_in * d_out if rule.decay_towards == "start" else 0.0
        found |= {
            "keys": scores + target,
            "solve": float(size * (d_out + rows)),
            "writes": 2.0 * rows * (rows + columns),
            "errors": 2.0 * rows * columns,
        }
    return found
