"""Memory update rules, as mathematics: state, rules, registry, the recurrent scan and the laws.

Every file of this package that registers a rule is found by itself: a new rule is a new file.
"""

import importlib
import pkgutil

from memory_rules.base import AbstractMemoryRule, Rates
from memory_rules.gates import Gate
from memory_rules.gradient import AbstractGradientRule
from memory_rules.registry import RULES, load_rule, register
from memory_rules.scan import Scan, recurrent
from memory_rules.state import Inputs, State

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "testing":
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "RULES",
    "AbstractGradientRule",
    "AbstractMemoryRule",
    "Gate",
    "Inputs",
    "Rates",
    "Scan",
    "State",
    "load_rule",
    "recurrent",
    "register",
]
