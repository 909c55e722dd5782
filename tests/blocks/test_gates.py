"""Gates have the shapes and ranges their rule asks for, and begin where it says."""

import math
from collections.abc import Mapping

import pytest
import torch

from blocks.gates import Gates
from blocks.init import initialise
from memory_rules import AbstractMemoryRule, Gate
from tests.blocks.small import DIM, HEADS, make_tokens

SHAPES = {"w1": (8, 12), "w2": (12, 8)}


class Rule(AbstractMemoryRule):
    """Asks for any gates."""

    def __init__(self, per_layer: bool = True, **wanted: Gate) -> None:
        self.per_layer, self.wanted = per_layer, wanted

    @property
    def gates(self) -> Mapping[str, Gate]:
        return self.wanted

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return SHAPES


def make(rule: AbstractMemoryRule) -> Gates:
    gates = Gates(rule, DIM, HEADS)
    initialise(gates, 0)
    return gates


@pytest.mark.parametrize(
    ("gate", "trailing"),
    [
        (Gate(kind="token"), {"w1": (), "w2": ()}),
        (Gate(kind="head"), {"w1": (), "w2": ()}),
        (Gate(kind="channel"), {"w1": (8,), "w2": (12,)}),
        (Gate(kind="value_channel"), {"w1": (12,), "w2": (8,)}),
        (Gate(width=3), {"w1": (3,), "w2": (3,)}),
    ],
)
def test_a_gate_has_the_shape_of_its_kind(gate: Gate, trailing: dict[str, tuple[int, ...]]) -> None:
    made = make(Rule(decay=gate))(make_tokens(5).float())
    for matrix, shape in trailing.items():
        assert made["decay", matrix].shape == (2, 5, HEADS, *shape)


@pytest.mark.parametrize("kind", ["token", "head", "channel", "value_channel"])
@pytest.mark.parametrize(("low", "high", "init"), [(0, 1, 0.01), (0, 0.03, 0.02), (0.5, 2, 1)])
def test_a_gate_begins_at_its_value_and_stays_in_its_range(
    kind: str, low: float, high: float, init: float
) -> None:
    gates = make(Rule(lr=Gate(kind=kind, low=low, high=high, init=init)))  # type: ignore[arg-type]
    still = gates(torch.zeros(1, 1, DIM))["lr", "w1"]
    assert torch.allclose(still, torch.tensor(float(init)), rtol=1e-5)
    far = gates(1e4 * make_tokens(20).float())["lr", "w1"]
    assert (far >= low).all() and (far <= high).all()
    near = gates(make_tokens(200).float())["lr", "w1"]
    assert abs(float(near.detach().mean()) / init - 1) < 0.2


def test_an_unbounded_gate_is_a_softplus_above_its_low() -> None:
    gates = make(Rule(lr=Gate(low=0.25, high=math.inf, init=1.0)))
    assert torch.allclose(gates(torch.zeros(1, 1, DIM))["lr", "w2"], torch.tensor(1.0))
    assert (gates(1e3 * make_tokens(20).float())["lr", "w2"] >= 0.25).all()


def test_matrices_have_gates_of_their_own_only_if_asked() -> None:
    x = make_tokens(5).float()
    own = make(Rule(lr=Gate()))(x)
    assert not torch.equal(own["lr", "w1"], own["lr", "w2"])
    shared = make(Rule(per_layer=False, lr=Gate()))
    assert torch.equal(shared(x)["lr", "w1"], shared(x)["lr", "w2"])
    assert sorted(n for n, _ in shared.named_parameters()) == ["heads.lr.bias", "heads.lr.weight"]


def test_a_shared_channel_gate_needs_matrices_of_one_width() -> None:
    with pytest.raises(ValueError, match=r"per_layer: .* \[8, 12\].*per_layer: true"):
        Gates(Rule(per_layer=False, decay=Gate(kind="channel")), DIM, HEADS)


def test_dropping_a_gate_leaves_the_others_as_they_began() -> None:
    x = make_tokens(5).float()
    both, one = make(Rule(lr=Gate(), momentum=Gate())), make(Rule(lr=Gate()))
    assert torch.allclose(both(x)["lr", "w1"], one(x)["lr", "w1"])


def test_a_rule_without_gates_gets_none() -> None:
    made = make(Rule())(make_tokens(5).float())
    assert made.batch_size == (2, 5) and not list(made.keys())


def test_gates_of_half_precision_tokens_are_fp32() -> None:
    gates = make(Rule(lr=Gate(), decay=Gate(kind="channel"))).bfloat16()
    made = gates(make_tokens(5).bfloat16())
    assert made["lr", "w1"].dtype == made["decay", "w2"].dtype == torch.float32
