"""One token of a rule of somebody's own, before anything is built on it.

What a rule says is called by code its writer never sees, so a mistake would surface far from its
cause. A rule is therefore tried once where it is made, and one sentence tells which part fails.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.dense import Dense, Plain, Probed
from memory_rules.facts import RuleError, check_facts
from memory_rules.gradient import AbstractGradientRule
from memory_rules.state import Inputs, State, tensors

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, int]]

DIM, TOKENS = 64, 2  # of the head that is tried, and what it reads at once
FIXES = {
    "fields": "Put @dataclass(frozen=True, kw_only=True) before the class; no field holds a list.",
    "shapes": "Say shapes(self, dim): name -> (d_in, d_out) of every matrix.",
    "gates": "Say gates as a mapping of name -> Gate, slow_shapes as name -> width.",
    "start": "Say initial_state, or derive the rule from AbstractGradientRule.",
    "read": "Say read(self, dense, x): dense(name, x) once for every matrix of shapes.",
    "objective": "Say objective(self, prediction, target): one number, a sum over tokens.",
    "gradient": "Write read and objective in operations that torch can differentiate.",
    "step": "Compare the rule with docs/adding-a-rule.md.",
}


def try_rule(rule: AbstractMemoryRule) -> None:
    """Read, descend and step on a few random numbers; rules of this package are known to work.

    Raises:
        RuleError: naming the file, the rule, the part that fails, how, and what would do.
    """
    if type(rule).__module__.startswith(f"{__package__}."):
        return
    _part(rule, "fields", lambda: hash(rule))
    try:
        check_facts(rule)
    except RuleError as error:
        raise RuleError(f"{_file(rule)}: {error}") from None
    with torch.random.fork_rng(devices=[]):
        _try(rule)


@cache
def _try(rule: AbstractMemoryRule) -> None:
    from memory_rules.testing.inputs import make_case  # the laws import this package

    shapes = _part(rule, "shapes", lambda: _shapes(rule))
    case = _part(rule, "gates", lambda: make_case(rule, B=1, T=TOKENS, H=1, dim=DIM))
    case = case.to(torch.float32)
    state = _part(rule, "start", case.state)
    if isinstance(rule, AbstractGradientRule):
        _descend(rule, state, case.inputs, shapes)
    y, _ = _part(rule, "step", lambda: rule.step(state, cast(Inputs, case.inputs[:, 0])))
    _part(rule, "step", lambda: _same(y, case.inputs.v[:, 0]))


def _descend(rule: AbstractGradientRule, state: State, x: Inputs, shapes: Shapes) -> None:
    k, v, memory = x.k.transpose(1, 2), x.v.transpose(1, 2), tensors(state.memory)

    def read() -> Tensor:
        probes = {name: torch.zeros(width) for name, (_, width) in shapes.items()}
        dense = Probed(_Named(Plain(memory, state.slow), shapes), probes)
        prediction = _same(rule.read(dense, k), v)
        if idle := [name for name in shapes if name not in dense.seen]:
            raise ValueError(f"never calls dense({idle[0]!r}), which is in shapes")
        return prediction

    def loss(weights: Mapping[str, Tensor]) -> Tensor:
        return rule.penalty(rule.read(Plain(weights, state.slow), k), v)

    prediction = _part(rule, "read", read)
    _part(rule, "objective", lambda: _one_number(rule.penalty(prediction, v)))
    _part(rule, "objective", lambda: _a_sum(rule, prediction, v))
    _part(rule, "gradient", lambda: torch.func.grad(loss)(memory))


class _Named:
    """A `dense` that says in words what `shapes` does not have."""

    def __init__(self, inner: Dense, shapes: Shapes) -> None:
        self.inner, self.shapes = inner, shapes

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.shapes:
            known = ", ".join(map(repr, self.shapes))
            raise ValueError(f"dense({name!r}) is no matrix of shapes, which has {known}")
        if x.shape[-1] != self.shapes[name][0]:
            wanted = f"{name!r} takes {self.shapes[name][0]}"
            raise ValueError(f"dense({name!r}, x) is given an x {x.shape[-1]} wide; {wanted}")
        return self.inner(name, x)

    def slow(self, name: str) -> Tensor:
        return self.inner.slow(name)


def _shapes(rule: AbstractMemoryRule) -> Shapes:
    return {name: (int(rows), int(width)) for name, (rows, width) in rule.shapes(DIM).items()}


def _same(found: Tensor, like: Tensor) -> Tensor:
    if found.shape != like.shape:
        raise ValueError(f"gives {list(found.shape)} for values {list(like.shape)}")
    return found


def _one_number(found: Tensor) -> None:
    if found.ndim:
        raise ValueError(f"gives a tensor {list(found.shape)}, not one number")


def _a_sum(rule: AbstractGradientRule, prediction: Tensor, v: Tensor) -> None:
    """What two tokens cost is what each costs: else a chunk is another rule than its tokens."""
    both = rule.penalty(prediction, v)
    pairs = zip(prediction.split(1, dim=-2), v.split(1, dim=-2), strict=True)
    alone = [rule.penalty(one, target) for one, target in pairs]
    if not torch.allclose(both, sum(alone, torch.zeros(())), rtol=1e-3, atol=1e-5):
        each = " and ".join(f"{float(cost):.4g}" for cost in alone)
        raise ValueError(f"of {TOKENS} tokens it is {float(both):.4g}, of each alone {each}")


def _part(rule: AbstractMemoryRule, part: str, run: Callable[[], T]) -> T:
    """What a part of the trial gives, or one sentence on how it fails."""
    try:
        return run()
    except Exception as error:
        text = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        said = " ".join(text.split()).removeprefix(f"{part}: ").rstrip(".")
        name = f"{_file(rule)}: rule {type(rule).__name__}"
        raise RuleError(f"{name}: {part}: {said}. {FIXES[part]}") from error


def _file(rule: AbstractMemoryRule) -> str:
    module = type(rule).__module__
    return getattr(sys.modules.get(module), "__file__", None) or module
