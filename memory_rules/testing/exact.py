"""Laws that hold bit by bit: what may not depend on what."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.gradient import AbstractGradientRule
from memory_rules.scan import Scan
from memory_rules.testing.inputs import Case, make_case, make_inputs
from memory_rules.testing.law import (
    CLOSE,
    EXACT,
    Evidence,
    Law,
    chunk_of,
    is_oracle,
    results,
    run,
    state_leaves,
)

STATE = ("memory.", "momentum.", "anchor.")  # what a token may change


def _other(case: Case, where: tuple[Any, ...]) -> Case:
    """The case with other tokens at `where`, an index of [B, T] or [B, T, H]."""
    B, T, H, dim = case.inputs.k.shape
    strange = make_inputs(case.rule, B=B, T=T, H=H, dim=dim, seed=977)
    theirs = Case(rule=case.rule, weights=case.weights, slow=case.slow, inputs=strange).leaves()
    leaves = {}
    for name, x in case.leaves().items():
        leaves[name] = x
        if not name.startswith(("weights.", "slow.")):
            leaves[name] = x.clone()
            leaves[name][where] = theirs[name][where]
    return case.with_leaves(leaves)


def causality(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Another token at t leaves the outputs before t as they were, bit for bit."""
    found, C = Evidence(EXACT), chunk_of(rule, scan)
    case = make_case(rule, T=2 * C + 3)
    before = results(scan, case)["y"]
    for t in sorted({0, 1, C - 1, C, C + 1, 2 * C + 2}):
        after = results(scan, _other(case, (slice(None), t)))["y"]
        found.close(f"token {t} changed, outputs before it", after[:, :t], before[:, :t])
        moved = not torch.equal(after[:, t:], before[:, t:])
        found.require(f"token {t} changed, no output at or after it did", moved)
    return found


def streaming(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Every split of a padded stream, also inside a chunk, ends where one pass ends."""
    found, C = Evidence(EXACT if is_oracle(scan) else CLOSE), chunk_of(rule, scan)
    T = 2 * C + 3
    case = make_case(rule, T=T).masked(_padding(2, T, seed=5))
    whole = results(scan, case)
    splits = [(s,) for s in sorted({1, C // 2 + 1, C - 1, C, C + 1, T - 1} - {0})]
    splits += [(1, 2, C + 2), (0, C, C, T), tuple(range(1, min(T, 40)))]
    for split in splits:
        parts = results(scan, case, split)
        label = f"split at {split}" if len(split) < 5 else "token by token"
        if is_oracle(scan):
            for name, x in whole.items():
                found.close(f"{label}: {name}", parts[name], x)
        else:
            found.all_close(label, parts, whole)
    return found


def independence(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Other sequences, and other heads, change nothing in this one."""
    found, C = Evidence(EXACT), chunk_of(rule, scan)
    case = make_case(rule, B=3, T=C + 2, H=3)
    before = results(scan, case)
    for what, where, rest in (
        ("sequence 1", (1,), lambda x: x[[0, 2]]),
        ("head 1", (slice(None), slice(None), 1), lambda x: x),
    ):
        after = results(scan, _other(case, where))
        heads = what == "head 1"
        for name, x in before.items():
            if heads and name == "y":
                pick = lambda y: y[:, :, [0, 2]]  # noqa: E731
            elif heads and name.startswith(STATE):
                pick = lambda y: y[:, [0, 2]]  # noqa: E731
            elif heads:
                continue
            else:
                pick = rest
            found.close(f"{what} changed: {name} of the others", pick(after[name]), pick(x))
    return found


def no_op(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    found, T = Evidence(EXACT), chunk_of(rule, scan) + 2
    case = make_case(rule, T=T, gates="low")
    start, end = state_leaves(case.state()), results(scan, case)
    for name, x in start.items():
        if name.startswith("memory."):
            found.close(name, end[name], x)
    return found


def _no_op_applies(rule: AbstractMemoryRule, scan: Scan) -> str:
    if not isinstance(rule, AbstractGradientRule):
        return "the rule's step has no gates that the law knows"
    rates = rule.rates(make_inputs(rule, gates="low"))
    if any(bool((lr != 0).any()) for lr in rates.lr.values()):
        return "its step is never 0"
    if any(bool((keep != 1).any()) for keep in rates.keep.values()):
        return "its decay is never 0"
    return ""


def writes(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """After another key and value, gates alike, every matrix that tokens write is another one."""
    found, dim = Evidence(EXACT), 4
    case = make_case(rule, T=1, dim=dim)
    leaves, other = case.leaves(), make_inputs(rule, T=1, dim=dim, seed=977)
    before = results(scan, case)
    after = results(scan, case.with_leaves({**leaves, "k": other.k, "v": other.v}))
    for name in rule.writes(dim):
        same = torch.equal(after[f"memory.{name}"], before[f"memory.{name}"])
        found.require(f"{name} holds nothing of the token", not same)
    return found


def _writes_applies(rule: AbstractMemoryRule, scan: Scan) -> str:
    if isinstance(rule, AbstractGradientRule):
        rates = rule.rates(make_inputs(rule))
        if not any(bool((lr != 0).any()) for lr in rates.lr.values()):
            return "its step is always 0"
    return ""


def _padding(B: int, T: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(B, T, generator=g) > 0.4


def mask(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """What stands in a masked token reaches no output and no state."""
    found, C = Evidence(EXACT), chunk_of(rule, scan)
    T = 2 * C + 3
    live = _padding(2, T, seed=3)
    case = make_case(rule, T=T).masked(live)
    before, after = results(scan, case), results(scan, _other(case, (~live,)))
    for name, x in before.items():
        other = after[name]
        x, other = (x[live], other[live]) if name == "y" else (x, other)
        found.close(f"padding changed: {name}", other, x)
    _mask_all(found, rule, scan, T)
    return found


def _mask_all(found: Evidence, rule: AbstractMemoryRule, scan: Scan, T: int) -> None:
    """Padding alone, before the first token and after some: a memory stays as it was."""
    nonlinear = isinstance(rule, AbstractGradientRule) and rule.nonlinear_close
    C = chunk_of(rule, scan)
    warm = C if nonlinear else max(1, C // 2)  # an open chunk that has written will close
    case = make_case(rule, T=T + warm)
    for first in (0, warm):
        live = torch.zeros(2, T + warm, dtype=torch.bool)
        live[:, :first] = True
        inputs = case.masked(live).inputs
        with torch.no_grad():
            _, state = scan(rule, case.state(), inputs[:, :first])
            _, end = scan(rule, state, inputs[:, first:])
        then, now = state_leaves(state), state_leaves(end)
        for name, x in then.items():
            if name.startswith(("memory.", "momentum.")):
                found.close(f"padding after {first} tokens: {name}", now[name], x)


@contextmanager
def _poisoned() -> Iterator[None]:
    """Uninitialised memory holds NaN, so that reading it shows."""
    plain, like, new = torch.empty, torch.empty_like, Tensor.new_empty

    def poison(x: Tensor) -> Tensor:
        return x.fill_(torch.nan) if x.dtype.is_floating_point else x

    torch.empty = lambda *a, **k: poison(plain(*a, **k))
    torch.empty_like = lambda *a, **k: poison(like(*a, **k))
    Tensor.new_empty = lambda *a, **k: poison(new(*a, **k))
    try:
        yield
    finally:
        torch.empty, torch.empty_like, Tensor.new_empty = plain, like, new


def initialised_memory(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """`torch.empty` full of NaN gives the same numbers: nothing is read before it is written."""
    found = Evidence(EXACT)
    case = make_case(rule, T=chunk_of(rule, scan) + 2)
    clean = results(scan, case)
    with _poisoned():
        poisoned = results(scan, case)
    for name, x in clean.items():
        found.close(name, poisoned[name], x)
    return found


def inference(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """Without gradients, and in inference mode, the numbers are those of training."""
    found = Evidence(EXACT if is_oracle(scan) else 1e-6)
    case = make_case(rule, T=chunk_of(rule, scan) + 2)
    leaves = {n: x.clone().requires_grad_() for n, x in case.leaves().items()}
    y, state = run(scan, case.with_leaves(leaves))
    trained = {"y": y, **state_leaves(state)}
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y, state = run(scan, case)
            free = {"y": y, **state_leaves(state)}
            for name, x in trained.items():
                found.close(f"{mode.__name__}: {name}", free[name].clone(), x)
    return found


EXACT_LAWS = (
    Law(
        name="causality",
        says="changing a token leaves earlier outputs bit-identical and changes a later one",
        judge=causality,
    ),
    Law(
        name="streaming",
        says="any split of the tokens, the state carried, gives the same outputs and last state",
        judge=streaming,
    ),
    Law(
        name="inference modes",
        says="no_grad and inference_mode give the numbers of training",
        judge=inference,
    ),
    Law(
        name="independence",
        says="a sequence does not depend on the others, nor a head",
        judge=independence,
    ),
    Law(
        name="no-op",
        says="gates at 0 leave the memory unchanged",
        judge=no_op,
        applies=_no_op_applies,
    ),
    Law(
        name="writes",
        says="a token's key and value reach every matrix that tokens write",
        judge=writes,
        applies=_writes_applies,
    ),
    Law(
        name="mask",
        says="a masked token writes nothing and changes nothing, wherever it stands",
        judge=mask,
    ),
    Law(
        name="initialised memory",
        says="NaN in every uninitialised tensor changes nothing",
        judge=initialised_memory,
    ),
)
