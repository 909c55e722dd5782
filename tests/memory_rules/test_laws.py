"""Every registered rule, and the main choices of Titans, under the laws and the oracle."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from memory_rules import RULES, AbstractMemoryRule, Inputs, State, recurrent
from memory_rules.testing import LAWS, RuleConformance, bounded, check, make_inputs

SMALL = {"chunk_size": 3, "window": 2, "expand": 2.0}  # where a rule has such fields

VARIANTS: dict[str, dict[str, Any]] = {
    "token": {"anchor": "token"},
    "token-decayed": {"anchor": "token", "surprise_at": "decayed_memory"},
    "passes": {"anchor": "passes:2"},
    "channel-start-before": {"decay": "channel", "decay_towards": "start", "read_at": "before"},
    "value-channel": {"decay": "value_channel", "momentum": "none"},
    "head-gates": {"decay": "head", "momentum": "head", "lr": "head", "lr_scale": "none"},
    "fixed-gates": {"decay": "fixed:0.05", "momentum": "fixed:0.8", "lr": "fixed:0.1"},
    "no-decay": {"decay": "none", "lr": "fixed:1", "lr_scale": "none", "momentum": "fixed:0"},
    "swiglu": {"network": "swiglu", "objective": "huber", "delta": 0.5},
    "vector": {"network": "vector", "objective": "lp"},
    "linear-plain": {"network": "linear", "plain": True, "objective": "dot"},
    "linear-normed": {"network": "linear", "depth": 1},
    "deep": {"depth": 3},
    "no-residual": {"residual": False},
    "last-written": {"written": "last", "depth": 3},
    "last-written-channels": {"written": "last", "decay": "channel", "decay_towards": "start"},
    "newton-schulz": {"inner": "newton_schulz", "decay": "channel", "decay_towards": "start"},
}


def small(kind: str, **more: Any) -> AbstractMemoryRule:
    names = {f.name for f in fields(RULES[kind])}
    return RULES[kind](**{n: v for n, v in SMALL.items() if n in names} | more)


class TestEveryRule(RuleConformance):
    @pytest.fixture(params=sorted(RULES))
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small(request.param)


@pytest.mark.slow
class TestEveryChoiceOfTitans(RuleConformance):
    @pytest.fixture(params=sorted(VARIANTS))
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **VARIANTS[request.param])


@pytest.mark.slow
class TestOtherWindows(RuleConformance):
    @pytest.fixture(
        params=[
            ("omega", {"network": "linear", "plain": True, "anchor": "token", "window": 4}),
            ("omega", {"network": "swiglu", "degree": 3, "momentum": "token", "window": 5}),
            ("atlas", {"network": "linear", "decay": "value_channel", "window": 1}),
            ("moneta", {"decay": "channel", "momentum": "token", "q": 3.0, "floor": 0.1}),
            ("ttt_mlp", {"read_at": "before", "lr": "head"}),
        ],
        ids=lambda p: f"{p[0]}-{'-'.join(p[1])}",
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        kind, choices = request.param
        return small(kind, **choices)


def _law(name: str) -> Any:
    return next(law for law in LAWS if law.name == name)


BROKEN: dict[str, tuple[str, Any]] = {
    "the future leaks": ("causality", lambda y, s, x: (y + 1e-14 * y.sum(1, keepdim=True), s)),
    "sequences mix": ("independence", lambda y, s, x: (y + 1e-14 * y.roll(1, 0), s)),
    "gradients are cut": ("gradcheck", lambda y, s, x: (y.detach() + 0.0 * y, s)),
    "memory is not read": ("causality", lambda y, s, x: (0.0 * y, s)),
    "numbers drift": ("oracle equivalence", lambda y, s, x: (y * (1.0 + 1e-8), s)),
    "outputs are rounded": ("precision", lambda y, s, x: (y.bfloat16().to(y.dtype), s)),
    "a whole sequence is needed": ("streaming", lambda y, s, x: (y + 1e-8 * y.shape[1], s)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_scan_fails_the_law_it_breaks(fault: str) -> None:
    name, damage = BROKEN[fault]

    def scan(rule: Any, state: Any, inputs: Any) -> Any:
        return damage(*recurrent(rule, state, inputs), inputs)

    rule = small("titans")
    assert not check(rule, scan, _law(name)).passed
    assert check(rule, recurrent, _law(name)).passed


def test_a_scan_that_ignores_padding_fails_the_mask_law() -> None:
    def scan(rule: Any, state: Any, inputs: Any) -> Any:
        return recurrent(rule, state, inputs.replace(mask=None))

    assert not check(small("delta"), scan, _law("mask")).passed


def test_a_rule_whose_step_forgets_a_factor_fails_the_gradient_oracle() -> None:
    class Wrong(RULES["delta"]):  # type: ignore[misc]
        def _surprise(self, *of: Any) -> Any:
            return {n: 0.5 * g for n, g in super()._surprise(*of).items()}

    assert not check(Wrong(), recurrent, _law("gradient oracle")).passed


class Tally(AbstractMemoryRule):
    """A rule that states no objective: its step is its definition, a mean of outer products."""

    kind, paper = "tally", "own"

    def shapes(self, dim: int) -> dict[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def initial_state(self, weights: Any, slow: Any, batch: int) -> State:
        def of(**leaves: torch.Tensor) -> TensorDict:
            return TensorDict(leaves, batch_size=[batch])

        memory = of(w=weights["w"].expand(batch, *weights["w"].shape))
        none, position = of(), torch.zeros(batch, dtype=torch.int64)
        parts = dict.fromkeys(("momentum", "anchor", "start", "slow", "recent"), none)
        return State(memory=memory, position=position, batch_size=[batch], **parts)

    def step(self, state: State, x: Inputs) -> tuple[torch.Tensor, State]:
        old = state.memory["w"]
        new = 0.9 * old + 0.1 * x.k[..., None] * x.v[..., None, :]
        if x.mask is not None:
            new = torch.where(x.mask[:, None, None, None], new, old)
        memory = TensorDict({"w": new}, batch_size=state.batch_size)
        y = (x.q[..., None, :] @ new).squeeze(-2)
        return y, state.replace(memory=memory, position=state.position + 1)


def test_the_laws_judge_a_rule_that_defines_its_own_step() -> None:
    rule = Tally()
    for law in LAWS:
        if not law.marks:
            verdict = check(rule, recurrent, law)
            assert verdict.passed, verdict
    assert check(rule, recurrent, _law("gradient oracle")).skipped
    assert bounded(rule, recurrent, tokens=1000).error < 3.0


def test_a_step_too_large_for_its_chunk_is_not_bounded() -> None:
    safe = {"network": "linear", "plain": True, "chunk_size": 16}
    found = bounded(RULES["titans"](**safe, max_lr=1.0), recurrent, tokens=500)
    assert found.error > found.tolerance


def test_a_verdict_says_why_a_law_was_skipped() -> None:
    verdict = check(RULES["linear_attention"](), recurrent, _law("no-op"))
    assert verdict.passed
    assert verdict.skipped == "its step is never 0"


@pytest.mark.parametrize("gates", ["random", "extreme", "default", "low"])
def test_inputs_are_a_function_of_the_seed_and_stay_in_range(gates: Any) -> None:
    rule = small("titans", decay="channel")
    one, two = (make_inputs(rule, T=5, seed=3, gates=gates) for _ in range(2))
    assert (one == two).all()
    for name, gate in rule.gates.items():
        for leaf in one.gates[name].values():
            assert leaf.min() >= gate.low
            assert leaf.max() <= gate.high
    assert one.gates["decay", "w2"].shape == (2, 5, 2, rule.shapes(4)["w2"][0])
