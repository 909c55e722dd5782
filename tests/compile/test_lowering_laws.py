"""The chunked lowering under the laws, for every rule that it does not refuse."""

from typing import Any

import pytest

from memory_rules import RULES, AbstractGradientRule, AbstractMemoryRule, Scan
from memory_rules.testing import RuleConformance
from playground.compile import Target, classify
from playground.compile.lowering.chunked import CHUNKED, LoopScan
from tests.memory_rules.test_laws import VARIANTS, small


class ChunkedConformance(RuleConformance):
    @pytest.fixture
    def scan(self, rule: AbstractMemoryRule) -> Scan:
        if reason := CHUNKED.refuses(rule, Target()):
            pytest.skip(reason)
        return CHUNKED.scan


class TestEveryRule(ChunkedConformance):
    @pytest.fixture(params=sorted(RULES))
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small(request.param)


@pytest.mark.slow
class TestEveryChoiceOfTitans(ChunkedConformance):
    @pytest.fixture(params=sorted(VARIANTS))
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **VARIANTS[request.param])


LINEAR: dict[str, Any] = {"network": "linear", "plain": True, "anchor": "token"}


class TestExactLinearTitans(ChunkedConformance):
    @pytest.fixture(
        params=[
            {"decay": "channel"},
            {"decay_towards": "start", "surprise_at": "decayed_memory", "decay": "channel"},
            {"objective": "dot", "decay": "value_channel"},
        ],
        ids=lambda p: "-".join(p),
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **LINEAR, **request.param)


TOKEN_RULES = sorted(n for n in RULES if classify(small(n))[0] in ("A", "B"))
FEW = ("gated_delta", "gla", "momentum_delta")


class TestTokensChunkAfterChunk(RuleConformance):
    """Classes A and B in the loop that a compiled model runs on a CPU."""

    @pytest.fixture(
        params=[pytest.param(n, marks=() if n in FEW else pytest.mark.slow) for n in TOKEN_RULES]
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small(request.param)

    @pytest.fixture
    def scan(self, rule: AbstractMemoryRule) -> Scan:
        assert isinstance(rule, AbstractGradientRule)
        return LoopScan(rule, compiled=False)


@pytest.mark.slow
class TestLinearTitansChunkAfterChunk(TestTokensChunkAfterChunk):
    @pytest.fixture(
        params=[
            {"decay": "channel"},
            {"decay_towards": "start"},
            {"surprise_at": "decayed_memory", "momentum": "none"},
            {"objective": "dot", "decay": "value_channel"},
        ],
        ids=lambda p: "-".join(p),
    )
    def rule(self, request: pytest.FixtureRequest) -> AbstractMemoryRule:
        return small("titans", **LINEAR, **request.param)
