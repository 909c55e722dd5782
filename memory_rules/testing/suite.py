"""The laws under pytest: subclass `RuleConformance` and say which rule and which scan."""

import pytest

from memory_rules.base import AbstractMemoryRule
from memory_rules.scan import Scan, recurrent
from memory_rules.testing.law import Law, check
from memory_rules.testing.laws import LAWS


def _marked(law: Law) -> object:
    return pytest.param(law, id=law.name.replace(" ", "-"), marks=[*_marks(law)])


def _marks(law: Law) -> list[pytest.MarkDecorator]:
    marks = [getattr(pytest.mark, name) for name in law.marks]
    if "compile" in law.marks:  # torch 2.13 meets its own deprecation when Inductor is imported
        ignored = "ignore:.*torch.jit.script_method.*:DeprecationWarning"
        marks.append(pytest.mark.filterwarnings(ignored))
    return marks


class RuleConformance:
    """The laws of a memory rule; a subclass gives the fixture `rule`, and `scan` if not the oracle.

    class TestLeaky(RuleConformance):
        @pytest.fixture
        def rule(self):
            return Leaky(chunk_size=4)
    """

    @pytest.fixture
    def scan(self) -> Scan:
        return recurrent

    @pytest.mark.parametrize("law", [_marked(law) for law in LAWS])
    def test_the_law_holds(self, law: Law, rule: AbstractMemoryRule, scan: Scan) -> None:
        verdict = check(rule, scan, law)
        if verdict.skipped:
            pytest.skip(verdict.skipped)
        assert verdict.passed, (
            f"{law.name}: {law.says}. {verdict.detail}: "
            f"error {verdict.error:.3g}, tolerance {verdict.tolerance:.3g}"
        )
