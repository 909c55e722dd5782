"""What a law is, what it finds, and how numbers are compared."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.gradient import AbstractGradientRule
from memory_rules.scan import Scan, recurrent
from memory_rules.state import State
from memory_rules.testing.inputs import Case

EXACT, CLOSE = 0.0, 1e-9


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a law found: the worst error, relative to the largest value it was compared with.

    skipped: why the law does not apply; then it has passed with nothing measured.
    """

    law: str
    passed: bool
    error: float = 0.0
    tolerance: float = 0.0
    detail: str = ""
    skipped: str = ""


class Evidence:
    """The worst disagreement seen so far, and where."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance, self.error, self.detail = tolerance, 0.0, ""

    def close(
        self, where: str, found: Tensor, expected: Tensor, scale: float | None = None
    ) -> None:
        """Compare; the error is relative to the largest expected value (or to `scale`)."""
        if found.shape != expected.shape:
            self.require(f"{where}: shape {tuple(found.shape)}, not {tuple(expected.shape)}", False)
            return
        if found.numel() == 0:
            return
        largest = _largest(expected) if scale is None else scale
        worst = _largest(found.detach().double() - expected.detach().double())
        self.note(where, worst / max(largest, 1e-30) if worst else 0.0)

    def all_close(
        self, where: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
    ) -> None:
        """`close` by name; what is tiny beside its fellows is held to a ten-thousandth of them."""
        if found.keys() != expected.keys():
            names = sorted(found.keys() ^ expected.keys())
            self.require(f"{where}: only on one side: {', '.join(names)}", False)
            return
        sizes = {n: _largest(want) for n, want in expected.items()}
        floor = 1e-4 * max(sizes.values(), default=0.0)
        for name, want in expected.items():
            self.close(f"{where} {name}", found[name], want, max(sizes[name], floor))

    def require(self, where: str, condition: bool) -> None:
        """A plain yes or no."""
        if not condition:
            self.note(where, math.inf)

    def finite(self, where: str, tensors: Mapping[str, Tensor]) -> None:
        for name, x in tensors.items():
            self.require(f"{where} {name} is not finite", bool(torch.isfinite(x).all()))

    def note(self, where: str, error: float) -> None:
        error = math.inf if math.isnan(error) else error
        if error > self.error:
            self.error, self.detail = error, where

    def verdict(self, law: str) -> Verdict:
        return Verdict(
            law=law,
            passed=self.error <= self.tolerance,
            error=self.error,
            tolerance=self.tolerance,
            detail=self.detail,
        )


def _largest(x: Tensor) -> float:
    return x.detach().double().abs().max().item() if x.numel() else 0.0


Judge = Callable[[AbstractMemoryRule, Scan], Evidence]


def always(rule: AbstractMemoryRule, scan: Scan) -> str:
    """A law without exceptions."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Law:
    """A statement about every rule under every scan.

    applies: (rule, scan) -> "" or the reason why there is nothing to check.
    marks: pytest marks, `slow` and `compile`.
    """

    name: str
    says: str
    judge: Judge
    applies: Callable[[AbstractMemoryRule, Scan], str] = always
    marks: tuple[str, ...] = ()


def check(rule: AbstractMemoryRule, scan: Scan, law: Law) -> Verdict:
    """Judge one rule under one scan by one law."""
    if reason := law.applies(rule, scan):
        return Verdict(law=law.name, passed=True, skipped=reason)
    return law.judge(rule, scan).verdict(law.name)


# what the laws share


def is_oracle(scan: Scan) -> bool:
    return scan is recurrent


def oracle_has_none(rule: AbstractMemoryRule, scan: Scan) -> str:
    return "recurrent is the oracle" if is_oracle(scan) else ""


def chunk_of(rule: AbstractMemoryRule, scan: Scan) -> int:
    """Tokens in a chunk: of the rule; else long enough to cross a lowering's own."""
    if isinstance(rule, AbstractGradientRule) and rule.chunked:
        return rule.chunk_size
    return 5 if is_oracle(scan) else 64


def state_leaves(state: State) -> dict[str, Tensor]:
    """A state's tensors by name; what a dead slot of a window holds does not count."""
    flat = cast(dict[str, Tensor], dict(state.to_tensordict().flatten_keys(".").items()))
    if "recent.live" in flat:
        live = flat["recent.live"][:, None, :, None]
        for name in ("recent.k", "recent.v"):
            flat[name] = torch.where(live, flat[name], 0.0)
    return flat


def run(scan: Scan, case: Case, splits: tuple[int, ...] = ()) -> tuple[Tensor, State]:
    """Outputs and last state, the tokens given in parts that end at `splits`."""
    state, parts = case.state(), []
    edges = [0, *splits, case.inputs.batch_size[1]]
    for first, last in pairwise(edges):
        y, state = scan(case.rule, state, case.inputs[:, first:last])
        parts.append(y)
    return torch.cat(parts, 1), state


def results(scan: Scan, case: Case, splits: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Outputs and last state by name, without gradients."""
    with torch.no_grad():
        y, state = run(scan, case, splits)
    return {"y": y, **state_leaves(state)}


def projected(scan: Scan, case: Case, splits: tuple[int, ...] = ()) -> Tensor:
    """A random function of outputs and last state, a scalar that a gradient can be taken of."""
    y, state = run(scan, case, splits)
    moving = {n: x for n, x in state_leaves(state).items() if x.dtype.is_floating_point}
    g, total = torch.Generator().manual_seed(11), y.new_zeros(())
    for x in (y, *(moving[n] for n in sorted(moving))):
        total = total + (x * torch.randn(x.shape, generator=g, dtype=torch.float64)).sum()
    return total


def gradients(scan: Scan, case: Case, splits: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Gradients of `projected` to every leaf."""
    leaves = {n: x.detach().clone().requires_grad_() for n, x in case.leaves().items()}
    grads = torch.autograd.grad(
        projected(scan, case.with_leaves(leaves), splits),
        list(leaves.values()),
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(leaves, grads, strict=True))
