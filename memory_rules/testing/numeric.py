"""Laws about numbers: the definition against autograd, a scan against the definition."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.gradient import AbstractGradientRule
from memory_rules.scan import Scan, recurrent
from memory_rules.testing.inputs import make_case
from memory_rules.testing.law import (
    CLOSE,
    Evidence,
    Law,
    chunk_of,
    gradients,
    is_oracle,
    oracle_has_none,
    projected,
    results,
    state_leaves,
)
from memory_rules.testing.textbook import textbook


def altered(rule: AbstractMemoryRule, **changes: Any) -> AbstractMemoryRule | None:
    """The rule with other fields; None where it has no such field."""
    if not is_dataclass(rule) or not changes.keys() <= {f.name for f in fields(rule)}:
        return None
    return replace(rule, **changes)


def has_objective(rule: AbstractMemoryRule, scan: Scan) -> str:
    if isinstance(rule, AbstractGradientRule):
        return ""
    return "it states no objective: its step is its definition"


def gradient_oracle(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    found, C = Evidence(1e-10), min(chunk_of(rule, recurrent), 8)
    _against_textbook(found, rule, recurrent, T=C + 3)
    return found


def _against_textbook(
    found: Evidence, rule: AbstractMemoryRule, scan: Scan, T: int, gates: Any = "random"
) -> None:
    case = make_case(rule, T=T, gates=gates)
    live = torch.rand(2, T, generator=torch.Generator().manual_seed(1)) > 0.2
    for label, c in (("", case), ("with padding: ", case.masked(live))):
        with torch.no_grad():
            expected = textbook(c)
        actual = results(scan, c)
        shown = live if label else torch.ones_like(live)
        actual["y"], expected["y"] = actual["y"][shown], expected["y"][shown]
        found.all_close(f"{label}textbook", {n: actual[n] for n in expected}, expected)


def chunk_of_one(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    found = Evidence(1e-12)
    one = altered(rule, chunk_size=1)
    assert one is not None
    _against_textbook(found, one, scan, T=5)
    return found


def _chunk_of_one_applies(rule: AbstractMemoryRule, scan: Scan) -> str:
    if reason := has_objective(rule, scan):
        return reason
    if altered(rule, chunk_size=1) is None:
        return "it has no chunk_size: a gradient at every token"
    assert isinstance(rule, AbstractGradientRule)
    return "" if rule.chunked else "anchor: token leaves chunk_size without meaning"


def equivalence(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Outputs, last state and all gradients against the recurrence, over two chunks and a rest."""
    found, C = Evidence(CLOSE), chunk_of(rule, scan)
    case = make_case(rule, T=2 * C + 3, gates="default")
    found.all_close("", results(scan, case), results(recurrent, case))
    found.all_close("gradient to", gradients(scan, case), gradients(recurrent, case))
    T, split = C + 2, (C // 2 + 1,)
    case = make_case(rule, T=T, gates="random")
    slopes = gradients(scan, case, split)
    found.all_close("in two parts, gradient to", slopes, gradients(recurrent, case))
    live = torch.rand(2, T, generator=torch.Generator().manual_seed(2)) > 0.2
    case = case.masked(live)
    ours, oracle = results(scan, case, split), results(recurrent, case)
    ours["y"], oracle["y"] = ours["y"][live], oracle["y"][live]  # unspecified at padding
    found.all_close("in two parts, with padding:", ours, oracle)
    return found


def precision(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Heads as wide as real ones; the error is a multiple of the oracle's, or of half a unit."""
    found, C = Evidence(2.0), chunk_of(rule, scan)
    case = make_case(rule, T=2 * C + 3, gates="default", dim=32)
    for dtype in (torch.float32, torch.bfloat16):
        rounded = case.to(dtype)
        exact = results(recurrent, rounded.to(torch.float64))
        ours, oracle = results(scan, rounded), results(recurrent, rounded)
        for name in ("y", *(n for n in exact if n.startswith("memory."))):
            unit = 0.5 * torch.finfo(dtype).eps * exact[name].norm().item()
            allowed = max((oracle[name].double() - exact[name]).norm().item(), unit)
            off = (ours[name].double() - exact[name]).norm().item()
            found.note(f"{dtype} {name}, in errors of the oracle", off / allowed)
    return found


def extreme_gates(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Gates at and near the ends of their range: finite, and equal to the recurrence."""
    found, C = Evidence(CLOSE), chunk_of(rule, scan)
    for seed in range(3):
        case = make_case(rule, T=C + 3, gates="extreme", seed=seed)
        ours, slopes = results(scan, case), gradients(scan, case)
        found.finite(f"seed {seed}:", ours)
        found.finite(f"seed {seed}, gradient to", slopes)
        if not is_oracle(scan):
            found.all_close(f"seed {seed}", ours, results(recurrent, case))
            found.all_close(f"seed {seed}, gradient to", slopes, gradients(recurrent, case))
    if is_oracle(scan) and isinstance(rule, AbstractGradientRule):
        _against_textbook(found, rule, scan, T=7, gates="extreme")
    return found


def odd_lengths(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Lengths about a chunk, none, one and 77; one sequence; one head."""
    found, C = Evidence(CLOSE), chunk_of(rule, scan)
    shapes = [(2, T, 2) for T in sorted({0, 1, C - 1, C, C + 1, 77})]
    for B, T, H in [*shapes, (1, C + 1, 2), (2, C + 1, 1), (1, 1, 1)]:
        # near their starting values: a deep memory that nearly vanished amplifies any rounding
        case = make_case(rule, B=B, T=T, H=H, gates="default")
        ours = results(scan, case)
        label = f"B={B}, T={T}, H={H}"
        found.require(f"{label}: shape of y", ours["y"].shape == (B, T, H, 4))
        found.finite(label, ours)
        if T == 0:
            before = state_leaves(case.state())
            for name, x in before.items():
                found.require(f"{label}: {name} changed", torch.equal(ours[name], x))
        elif not is_oracle(scan):
            found.all_close(label, ours, results(recurrent, case))
    return found


def replicas(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Three cases with their own weights, gates and tokens as one call of `torch.func.vmap`."""
    found, C = Evidence(CLOSE), chunk_of(rule, scan)
    cases = [make_case(rule, T=C + 2, dim=3, seed=seed, gates="default") for seed in range(3)]
    each = [case.leaves() for case in cases]
    stacked = {n: torch.stack([leaves[n] for leaves in each]).requires_grad_() for n in each[0]}

    def alone(leaves: dict[str, Tensor]) -> Tensor:
        return projected(scan, cases[0].with_leaves(leaves))

    totals = torch.func.vmap(alone, randomness="same")(stacked)
    grads = torch.autograd.grad(
        totals.sum(), list(stacked.values()), allow_unused=True, materialize_grads=True
    )
    for i, case in enumerate(cases):
        mine = {n: g[i] for n, g in zip(stacked, grads, strict=True)}
        found.close(f"replica {i}", totals[i].detach(), projected(scan, case).detach())
        found.all_close(f"replica {i}: gradient to", mine, gradients(scan, case))
    return found


def gradcheck(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """One random direction per leaf, by differences of two widths, extrapolated to width 0."""
    found, h = Evidence(1e-6), 1e-5
    case = make_case(altered(rule, chunk_size=2) or rule, B=1, T=3, H=1, dim=3)
    leaves, slopes = case.leaves(), gradients(scan, case)
    g = torch.Generator().manual_seed(31)
    expected, actual = {}, {}
    for name, x in leaves.items():
        along = torch.randn(x.shape, generator=g, dtype=torch.float64)
        with torch.no_grad():
            up, down, far_up, far_down = (
                projected(scan, case.with_leaves({**leaves, name: x + s * h * along}))
                for s in (1.0, -1.0, 2.0, -2.0)
            )
        expected[name] = (8.0 * (up - down) - (far_up - far_down)) / (12.0 * h)
        actual[name] = (slopes[name] * along).sum()
    found.all_close("gradient to", actual, expected)
    return found


def compiles(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """`step` and the lowering compile without a break, and once for all lengths."""
    found, C = Evidence(CLOSE), chunk_of(rule, scan)
    case = make_case(rule, T=2)
    torch.compiler.reset()  # rules share the code of `step`, and Dynamo counts its graphs
    step = torch.compile(rule.step, fullgraph=True)
    with torch.no_grad():
        state = case.state()
        for t in range(2):
            y, after = rule.step(state, case.inputs[:, t])
            y_compiled, after_compiled = step(state, case.inputs[:, t])
            found.close(f"step {t}: y", y_compiled, y)
            found.all_close(f"step {t}:", state_leaves(after_compiled), state_leaves(after))
            state = after
    if not is_oracle(scan):
        results(scan, make_case(rule, T=4 * C))
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        results(scan, make_case(rule, T=6 * C))
        new = torch._dynamo.utils.counters["stats"]["unique_graphs"] - graphs
        found.require(f"a new length made {new} new graphs", new == 0)
    return found


NUMERIC_LAWS = (
    Law(
        name="gradient oracle",
        says="step's surprise is autograd's gradient of the objective on explicit weights",
        judge=gradient_oracle,
        applies=has_objective,
    ),
    Law(
        name="oracle equivalence",
        says="outputs, last state and all gradients equal the recurrence",
        judge=equivalence,
        applies=oracle_has_none,
    ),
    Law(
        name="precision",
        says="fp32 and bf16 err at most twice as much as the recurrence at that precision",
        judge=precision,
        applies=oracle_has_none,
    ),
    Law(
        name="chunk of one",
        says="chunk_size 1 is the textbook recurrence",
        judge=chunk_of_one,
        applies=_chunk_of_one_applies,
    ),
    Law(
        name="extreme gates",
        says="gates at and near the ends of their range: finite and equal, gradients too",
        judge=extreme_gates,
    ),
    Law(
        name="odd lengths",
        says="no token, one, a chunk more or less one, 77; one sequence, one head",
        judge=odd_lengths,
    ),
    Law(
        name="replicas",
        says="stacked runs under torch.func.vmap give what each gives alone, gradients too",
        judge=replicas,
    ),
    Law(
        name="gradcheck",
        says="gradients equal finite differences, through the starting memory too",
        judge=gradcheck,
    ),
    Law(
        name="compile",
        says="one step compiles without a break; a new length makes no new graph",
        judge=compiles,
        marks=("compile", "slow"),
    ),
)
