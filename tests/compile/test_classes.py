"""The class of a rule follows from its mathematics."""

from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from memory_rules import RULES, AbstractGradientRule
from memory_rules.dense import Dense
from playground.compile import Target, classify
from playground.compile.lowering.chunked import CHUNKED

EXPECTED = {
    "linear_attention": "A",
    "retention": "A",
    "ssd": "A",
    "gla": "A",
    "delta": "B",
    "gated_delta": "B",
    "momentum_delta": "B",
    "longhorn": "B",
    "titans": "C",
    "ttt_linear": "C",
    "ttt_mlp": "C",
    "yaad": "C",
    "omega": "C",
    "moneta": "D",
    "atlas": "D",
}


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule_is_in_the_class_the_mathematics_gives_it(kind: str) -> None:
    assert classify(RULES[kind]())[0] == EXPECTED[kind]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"anchor": "passes:2"}, "C'"),
        ({"anchor": "token"}, "E"),
        ({"inner": "newton_schulz"}, "D"),
        ({"anchor": "token", "network": "linear"}, "E"),
        ({"anchor": "token", "network": "linear", "plain": True}, "B"),
        ({"anchor": "token", "network": "linear", "plain": True, "objective": "dot"}, "A"),
        ({"anchor": "token", "network": "linear", "plain": True, "objective": "huber"}, "E"),
        ({"anchor": "token", "network": "vector", "plain": True}, "E"),
    ],
    ids=str,
)
def test_the_class_follows_the_fields_of_titans(choices: dict[str, Any], expected: str) -> None:
    assert classify(RULES["titans"](**choices))[0] == expected


def test_a_rule_without_an_exact_chunk_form_is_refused_with_the_reason() -> None:
    reason = CHUNKED.refuses(RULES["titans"](anchor="token"), Target())
    assert "several matrices" in reason


@dataclass(frozen=True, kw_only=True)
class Scaled(AbstractGradientRule):
    """A slope that differs between channels has no triangular system of its own."""

    anchor = "token"
    momentum = "none"

    def shapes(self, dim: int) -> dict[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def read(self, dense: Dense, x: Tensor) -> Tensor:
        return dense("w", x)

    def objective(self, prediction: Tensor, target: Tensor) -> Tensor:
        error = prediction - target
        return (error[..., :1].square()).sum() + 2 * error[..., 1:].square().sum()


def test_an_error_with_a_slope_per_channel_is_not_taken_for_class_b() -> None:
    assert classify(Scaled()) == (
        "E",
        "a gradient at every token, and its error signal has not one slope per token",
    )


@pytest.mark.parametrize("delta", [1e-4, 1e-2, 6.0, 10.0, 1e3, 1e5])
def test_an_error_that_bends_far_from_zero_or_near_it_is_not_taken_for_class_b(
    delta: float,
) -> None:
    bent = {"anchor": "token", "network": "linear", "plain": True, "objective": "huber"}
    assert classify(RULES["titans"](**bent, delta=delta)) == (
        "E",
        "a gradient at every token, and its error signal is not affine in the memory",
    )
