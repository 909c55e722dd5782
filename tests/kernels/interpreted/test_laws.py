"""The Triton lowering under the laws, in the interpreter, for every rule that it does not refuse.

Two laws are exempt here by name: the interpreter would take hours for a stream of 100,000 tokens,
and torch.compile meets no kernel on a CPU.
"""

from typing import Any

import pytest

from memory_rules import RULES, AbstractMemoryRule, Scan
from memory_rules.testing import RuleConformance
from memory_rules.testing.inputs import make_case
from playground.compile import Target
from playground.compile.lowering.triton import TRITON
from tests.memory_rules.test_laws import small

SERVED = (
    "delta",
    "gated_delta",
    "gla",
    "linear_attention",
    "longhorn",
    "momentum_delta",
    "retention",
    "ssd",
    "titans",
)
LINEAR: dict[str, Any] = {"network": "linear", "plain": True, "anchor": "token"}


def test_what_is_served_and_why_the_rest_is_not() -> None:
    reasons = {name: TRITON.refuses(small(name), Target()) for name in sorted(RULES)}
    assert tuple(name for name, why in reasons.items() if not why) == SERVED
    wide = small("titans", **LINEAR, objective="dot", decay="value_channel")
    assert TRITON.refuses(wide, Target()) == "no kernel for a decay per value channel"
    assert reasons["ttt_mlp"] == "no kernel for class C but that of titans, this is ttt_mlp"


EXEMPT = ("bounded", "compile")


class KernelConformance(RuleConformance):
    @pytest.fixture(autouse=True)
    def one_head(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half as many programs for what is run often; the slow ones have two heads, as elsewhere.

        Each kernel's own tests have several, and so has the law of independence here.
        """
        if request.node.get_closest_marker("slow") is None:
            monkeypatch.setitem(make_case.__kwdefaults__, "H", 1)

    @pytest.fixture(autouse=True)
    def exempt(self, request: pytest.FixtureRequest) -> None:
        if request.node.callspec.params["law"].name in EXEMPT:
            pytest.skip("not in the interpreter")

    @pytest.fixture
    def scan(self, rule: AbstractMemoryRule) -> Scan:
        assert not TRITON.refuses(rule, Target())
        return TRITON.scan


class TestLinearTitans(KernelConformance):
    """Both classes, with momentum; the operators of class A are those of class B and one less."""

    @pytest.fixture(params=["l2", pytest.param("dot", marks=pytest.mark.slow)])
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **LINEAR, objective=request.param)


@pytest.mark.slow
class TestEveryRule(KernelConformance):
    @pytest.fixture(params=SERVED)
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small(request.param)


@pytest.mark.slow
class TestChoicesOfLinearTitans(KernelConformance):
    @pytest.fixture(
        params=[
            {"decay_towards": "start", "surprise_at": "decayed_memory"},
            {"read_at": "before", "momentum": "none"},
            {"decay": "channel", "surprise_at": "decayed_memory", "decay_towards": "start"},
            {"decay": "channel", "objective": "dot", "read_at": "before"},
        ],
        ids=lambda p: "-".join(p.values()),
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **LINEAR, **request.param)
