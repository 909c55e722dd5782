"""The laws of a memory rule, for anybody's rule: `RuleConformance` under pytest, `check` without.

from memory_rules.testing import LAWS, check
for law in LAWS:
    print(law.name, check(rule, scan, law))
"""

from typing import TYPE_CHECKING, Any

from memory_rules.testing.inputs import Case, fresh_state, fresh_weights, make_case, make_inputs
from memory_rules.testing.law import Law, Verdict, check
from memory_rules.testing.laws import LAWS
from memory_rules.testing.long import bounded

if TYPE_CHECKING:
    from memory_rules.testing.suite import RuleConformance

__all__ = [
    "LAWS",
    "Case",
    "Law",
    "RuleConformance",
    "Verdict",
    "bounded",
    "check",
    "fresh_state",
    "fresh_weights",
    "make_case",
    "make_inputs",
]


def __getattr__(name: str) -> Any:
    if name == "RuleConformance":  # needs pytest, which `verify` does without
        from memory_rules.testing.suite import RuleConformance

        return RuleConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
