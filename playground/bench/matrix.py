"""Rows of a benchmark: rules x forms x shapes x gates x modes, the gate before each time."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import torch

from memory_rules import AbstractMemoryRule
from playground.bench.gate import Gate, check_scan
from playground.bench.inputs import GateScale, Shape, make_problem
from playground.bench.measure import measure, nothing
from playground.bench.peak import Peak
from playground.bench.row import Row
from playground.bench.work import Mode, work
from playground.compile import Lowering, Target, classify
from playground.compile.rule_flops import rule_flops

Gatekeeper = Callable[..., Gate]


def measure_row(
    rule: AbstractMemoryRule,
    lowering: Lowering,
    shape: Shape,
    target: Target,
    *,
    scale: GateScale = "default",
    mode: Mode = "forward",
    warmup: int = 3,
    repeats: int = 20,
    peak: Peak | None = None,
    gatekeeper: Gatekeeper = check_scan,
) -> Row:
    """Measure one row; refused and red ones have their reason instead of a time.

    Args:
        rule: what is computed.
        lowering: in which form; `target.compile` says whether its bodies are compiled.
        shape: of the call.
        target: where.
        scale: of the gates.
        mode: forward, or forward and backward.
        warmup: calls that do not count.
        repeats: calls that count.
        peak: of this machine, for the share of it that a forward pass reaches.
        gatekeeper: gives the gate that must be green before a time is taken.
    """
    said = _said(rule, lowering, shape, target, scale, mode)
    if refused := lowering.refuses(rule, target):
        return Row(**said, refused=refused)
    scan = lowering.bind(rule, target.compile)
    device, backward = target.device, mode != "forward"
    gate = gatekeeper(rule, scan, shape, scale=scale, device=device, gradients=backward)
    if not gate.green:
        return Row(**said, gate=gate)
    run = work(mode, scan, make_problem(rule, shape, scale=scale, device=device))
    times = measure(run, warmup=warmup, repeats=repeats, sync=waiting(target))
    most = None if peak is None or backward else peak.flops_per_s
    share = most and flops_of(rule, lowering.name, shape) / times.median * 1e3 / most
    return Row(**said, gate=gate, times=times, peak_share=share)


def waiting(target: Target) -> Callable[[], object]:
    """Waits until the target's device is idle."""
    return torch.cuda.synchronize if target.device == "cuda" else nothing


def _said(
    rule: AbstractMemoryRule,
    lowering: Lowering,
    shape: Shape,
    target: Target,
    scale: GateScale,
    mode: Mode,
) -> dict[str, Any]:
    """What a row says whatever comes of it."""
    return {
        "rule": rule.kind,
        "rule_class": classify(rule)[0],
        "lowering": lowering.name,
        "compiled": target.compile and lowering.name != "recurrent",
        "shape": shape,
        "scale": scale,
        "mode": mode,
    }


def flops_of(rule: AbstractMemoryRule, lowering: str, shape: Shape) -> float:
    """FLOPs of one forward call over a shape."""
    parts = rule_flops(rule, shape.width, lowering=lowering, length=shape.length)
    return sum(parts.values()) * shape.heads * shape.tokens


def measure_matrix(
    rules: Iterable[AbstractMemoryRule],
    forms: Iterable[tuple[Lowering, Target]],
    shapes: Iterable[Shape],
    *,
    scales: Iterable[GateScale] = ("default",),
    modes: Iterable[Mode] = ("forward", "forward_backward"),
    measure_one: Callable[..., Row] = measure_row,
) -> Iterator[Row]:
    """Every row of a product, one after another; nothing is left out."""
    for rule, shape, scale, mode, (lowering, target) in product(
        rules, shapes, scales, modes, tuple(forms)
    ):
        yield measure_one(rule, lowering, shape, target, scale=scale, mode=mode)
