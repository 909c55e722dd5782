"""Gate fields and ranges; how a rule turns gates into its filter's rates."""

import math
from typing import Any

import pytest
import torch

from memory_rules import RULES, Gate
from memory_rules.gates import parse
from memory_rules.testing import make_inputs

ALLOWED = ("token", "head")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("token", ("token", None)), ("none", ("none", None)), ("fixed:0.25", ("fixed", 0.25))],
)
def test_a_gate_field_reads_as_kind_and_value(text: str, expected: tuple[str, Any]) -> None:
    assert parse("decay", text, ALLOWED) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tokens", "'tokens' is not a gate. Allowed: token, head, fixed:VALUE, none"),
        ("channel", "'channel' is not a gate"),
        ("fixed:", "has no number; write fixed:0.9"),
        ("fixed:1.5", "fixed value 1.5 is not in [0, 1]"),
        ("token:3", "is not a gate"),
    ],
)
def test_a_wrong_gate_names_field_problem_and_what_is_allowed(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^decay: ") as error:
        parse("decay", text, ALLOWED)
    assert problem in str(error.value)


GATES = [
    Gate(init=0.01),
    Gate(low=0.2, high=0.6, init=0.5),
    Gate(low=0.2, high=0.6, init=0.5, power=3.0),
    Gate(high=math.inf, init=0.05),
]


@pytest.mark.parametrize("gate", GATES)
def test_the_logit_of_a_gate_gives_its_starting_value(gate: Gate) -> None:
    if math.isinf(gate.high):
        value = gate.low + math.log1p(math.exp(gate.logit))
    else:
        value = gate.low + (gate.high - gate.low) / (1.0 + math.exp(-gate.logit)) ** gate.power
    assert value == pytest.approx(gate.init)
    assert float(gate.of(torch.tensor(gate.logit))) == pytest.approx(gate.init)


@pytest.mark.parametrize("gate", GATES)
def test_a_shut_gate_is_at_its_lower_end_and_its_gradient_a_number(gate: Gate) -> None:
    logits = torch.tensor([-1e4, -100.0, 0.0, 100.0], requires_grad=True)
    values = gate.of(logits)
    values.sum().backward()
    assert values[0] == gate.low
    assert bool((values.diff() >= 0).all())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_a_power_of_the_write_gate_lets_unwanted_writes_come_nearer_to_nothing() -> None:
    plain, squared = (RULES["titans"](lr_power=p, anchor="token").gates["lr"] for p in (1.0, 2.0))
    assert squared.init == plain.init
    moved = torch.tensor(-4.0)  # from where each starts
    assert float(squared.of(squared.logit + moved)) < 0.3 * float(plain.of(plain.logit + moved))
    with pytest.raises(ValueError, match=r"^lr_power: 0.5 must be 1 or more"):
        RULES["titans"](lr_power=0.5)


def test_titans_wants_the_gates_its_fields_name() -> None:
    titans = RULES["titans"]
    assert set(titans().gates) == {"lr", "momentum", "decay"}
    assert set(titans(momentum="none", decay="fixed:0.1").gates) == {"lr"}
    assert titans(decay="channel").gates["decay"].kind == "channel"
    assert titans(chunk_size=32).gates["lr"].high == 1 / 64
    assert titans(anchor="token").gates["lr"].high == 0.5
    assert titans(max_lr=0.1).gates["lr"].high == 0.1


def test_a_window_shares_the_safe_step_among_its_tokens() -> None:
    omega = RULES["omega"](window=4, chunk_size=16)
    assert omega.gates["window"].width == 4
    assert omega.gates["lr"].high == 1 / 32 / 4
    assert RULES["omega"](window=1).gates.keys() == {"lr", "decay"}


def test_rates_are_one_minus_decay_and_a_step_damped_by_momentum() -> None:
    rule = RULES["titans"]()
    x = make_inputs(rule, T=3)
    rates = rule.rates(x)
    for n in rule.shapes(4):
        lr, momentum, decay = (x.gates[g, n] for g in ("lr", "momentum", "decay"))
        assert torch.equal(rates.lr[n], lr * (1.0 - momentum))
        assert torch.equal(rates.keep[n], 1.0 - decay)
    plain = RULES["titans"](lr_scale="none").rates(x)
    assert torch.equal(plain.lr["w1"], x.gates["lr", "w1"])


def test_a_fixed_gate_is_the_same_everywhere_and_none_is_nothing() -> None:
    rule = RULES["titans"](momentum="none", decay="fixed:0.25", lr="fixed:1")
    rates = rule.rates(make_inputs(rule, T=3))
    assert rates.momentum is None
    assert (rates.keep["w1"] == 0.75).all() and (rates.lr["w1"] == 1.0).all()
    linear = RULES["linear_attention"]()
    assert all((lr == 1.0).all() for lr in linear.rates(make_inputs(linear, T=3)).lr.values())


@pytest.mark.parametrize("written", ["all", "last"])
def test_a_fixed_gate_is_not_rounded_to_the_tokens_precision(written: str) -> None:
    rule = RULES["titans"](decay="fixed:0.001", momentum="fixed:0.999", written=written)
    rates = rule.rates(make_inputs(rule, T=3, dtype=torch.bfloat16))
    assert rates.momentum is not None
    for found, wanted in ((rates.keep["w2"], 0.999), (rates.momentum["w2"], 0.999)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, torch.full_like(found, wanted))
    assert (rates.lr["w2"] > 0).all()


@pytest.mark.parametrize(
    ("anchor", "limit"), [("chunk", 1 / 16), ("passes:2", 1 / 16), ("token", 1 / 2)]
)
def test_the_largest_step_is_divided_among_the_tokens_of_a_chunk(anchor: str, limit: float) -> None:
    assert RULES["titans"](anchor=anchor, chunk_size=8).gates["lr"].high == limit


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("titans", {"momentum": "channel"}, "momentum: 'channel' is not a gate"),
        ("titans", {"chunk_size": 0}, "chunk_size: 0 is not a positive count"),
        ("titans", {"lr": "none"}, "lr: none would be a step of 1"),
        ("titans", {"start": "zero"}, "start: zero; several matrices"),
        ("yaad", {"network": "swiglu", "start": "zero"}, "start: zero; several matrices"),
        ("titans", {"per_layer": False, "decay": "channel"}, "per_layer: false; a channel decay"),
        ("titans", {"anchor": "passes"}, "anchor: 'passes'"),
        ("titans", {"anchor": "chunk:2"}, "anchor: 'chunk:2'"),
        ("titans", {"network": "transformer"}, "network: 'transformer' is not registered"),
        ("titans", {"depth": 0}, "depth: 0"),
        ("titans", {"expand": 0.0}, "expand: 0.0"),
        ("titans", {"delta": 0.0}, "delta: 0.0"),
        ("titans", {"p": 1.0}, "p: 1.0"),
        ("titans", {"max_lr": -1.0}, "max_lr: -1.0"),
        ("titans", {"surprise_at": "decayed_memory"}, "surprise_at: decayed_memory needs"),
        ("titans", {"inner": "newton_schulz", "momentum": "none"}, "inner: newton_schulz needs"),
        ("titans", {"inner": "newton_schulz", "anchor": "token"}, "anchor: 'token'"),
        ("atlas", {"momentum": "none"}, "momentum: none"),
        ("atlas", {"anchor": "token"}, "anchor: 'token'"),
        ("omega", {"window": 0}, "window: 0"),
        ("omega", {"degree": 0}, "degree: 0"),
        ("omega", {"anchor": "passes:2"}, "anchor: 'passes:2' needs window: 1"),
        ("omega", {"network": "vector"}, "network: 'vector' has no features here"),
        ("moneta", {"q": 1.0}, "q: 1.0"),
        ("moneta", {"p": 0.5}, "p: 0.5"),
        ("moneta", {"floor": 0.0}, "floor: 0.0"),
        ("moneta", {"decay_towards": "start"}, "decay_towards: start"),
        ("yaad", {"delta": -1.0}, "delta: -1.0"),
        ("ttt_linear", {"chunk_size": 0}, "chunk_size: 0"),
        ("ttt_linear", {"max_lr": 0.0}, "max_lr: 0.0"),
        ("ttt_mlp", {"expand": 0.0}, "expand: 0.0"),
        ("longhorn", {"max_strength": 0.0}, "max_strength: 0.0"),
        ("retention", {"exponent": -1.0}, "exponent: -1.0"),
        ("ssd", {"step_init": 0.0}, "step_init: 0.0"),
        ("delta", {"max_lr": 1.5}, "max_lr: 1.5"),
        ("gated_delta", {"max_lr": 0.0}, "max_lr: 0.0"),
        ("momentum_delta", {"decay": "sometimes"}, "decay: 'sometimes'"),
    ],
)
def test_a_field_out_of_range_is_named(kind: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:
        RULES[kind](**fields)
    assert text in str(error.value)


def test_rules_with_a_gradient_at_every_token_have_no_chunk_size() -> None:
    for kind in ("linear_attention", "delta", "gated_delta", "momentum_delta", "gla", "ssd"):
        with pytest.raises(TypeError, match="chunk_size"):
            RULES[kind](chunk_size=16)
