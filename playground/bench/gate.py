"""The gate before a time: a scan is right on the shape that is timed, or it has no speed.

Outputs, last memory and gradients of a few tokens are held against the recurrence in fp64. What is
allowed is a multiple of the error that the recurrence itself makes at the precision that is timed.
(The laws hold every lowering to 1e-9 in fp64; this is about the very bodies that are timed.)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from memory_rules import AbstractGradientRule, AbstractMemoryRule, Scan, recurrent
from memory_rules.testing import Case
from playground.bench.inputs import DTYPES, GateScale, Shape, make_problem
from playground.bench.work import at_precision, forward_backward
from playground.compile import classify
from playground.compile.lowering.segments import SCALAR_LENGTH

Results = Mapping[str, Tensor]

# Times the recurrence's own error, which is one draw of its rounding. Under strong decay a memory
# vanishes, and its norm amplifies what two right forms round differently, up to 4 times; a wrong
# form is off by a thousand times.
ALLOWED = 8.0
SLACK = 2.0  # rounding units that are always allowed: sums in another order


@dataclass(frozen=True, kw_only=True)
class Gate:
    """green: nothing is off; error: the worst, as a share of what is allowed; where: of it.

    relative: that error by the norm of the exact value.
    """

    green: bool
    error: float
    where: str
    relative: float = 0.0

    @property
    def reason(self) -> str:
        """Why there is no time, empty if there is one."""
        if math.isnan(self.error):
            return f"{self.where}: not finite"
        return "" if self.green else f"{self.where}: {self.error:.3g} times the error allowed"


def check_scan(
    rule: AbstractMemoryRule,
    scan: Scan,
    shape: Shape,
    *,
    scale: GateScale = "default",
    device: torch.device | str = "cpu",
    gradients: bool = True,
    tolerance: float | None = None,
) -> Gate:
    """Hold a scan to the recurrence, on two chunks and a bit of the shape that will be timed.

    Args:
        rule: what is computed.
        scan: how; compiled bodies are the ones that will be timed, since only T differs.
        shape: its batch, heads, width and dtype are kept.
        scale: of the gates.
        device: where the scan and the recurrence run.
        gradients: whether gradients to every leaf are compared too.
        tolerance: the largest relative error; None for a multiple of the recurrence's own.
    """
    small = replace(shape, length=min(shape.length, 2 * _chunk(rule) + 3))
    case, dtype = make_problem(rule, small, scale=scale, device=device), DTYPES[shape.dtype]
    exact = results(recurrent, case.to(torch.float64), gradients)
    plain = results(at_precision(recurrent, dtype, device), case, gradients)
    found = results(at_precision(scan, dtype, device), case, gradients)
    return judge(exact, plain, found, dtype, tolerance)


def judge(
    exact: Results,
    plain: Results,
    found: Results,
    dtype: torch.dtype,
    tolerance: float | None = None,
    times: float = ALLOWED,
) -> Gate:
    """The worst of what was found against what is exact, each tensor by its norm.

    Args:
        exact: by name, in fp64.
        plain: what the recurrence finds at the precision that is timed.
        found: what is judged.
        dtype: of that precision.
        tolerance: the largest relative error; None for `times` the error of `plain`: of the same
            tensor, or that of its middle tensor, since a small one may be right by luck.
        times: see `tolerance`.
    """
    typical = median(_apart(plain[n], w) / max(w.norm().item(), 1e-30) for n, w in exact.items())
    least = max(SLACK * torch.finfo(dtype).eps, typical)
    worst = Gate(green=True, error=0.0, where="")
    for name, want in exact.items():
        norm, off = want.norm().item(), _apart(found[name], want)
        allowed = (tolerance or 0.0) * norm
        if tolerance is None:
            allowed = times * max(_apart(plain[name], want), least * norm)
        share = off / max(allowed, 1e-30)
        if not share <= worst.error:  # also true for NaN
            relative = off / max(norm, 1e-30)
            worst = Gate(green=share <= 1.0, error=share, where=name, relative=relative)
        if share != share:
            break
    return worst


def _apart(found: Tensor, want: Tensor) -> float:
    return (found.to(want) - want).norm().item()


def _chunk(rule: AbstractMemoryRule) -> int:
    if isinstance(rule, AbstractGradientRule) and classify(rule)[0] not in ("A", "B"):
        return rule.chunk_size
    return SCALAR_LENGTH


def results(scan: Scan, case: Case, gradients: bool) -> dict[str, Tensor]:
    """Outputs, memory after the last token, and gradients, by name."""
    with torch.no_grad():
        y, state = scan(case.rule, case.state(), case.inputs)
    found = {"y": y, **{f"memory.{n}": w for n, w in state.memory.items()}}
    if gradients:
        slopes = forward_backward(scan, case)()
        found |= {f"gradient to {n}": g for n, g in zip(case.leaves(), slopes, strict=True)}
    return found
