"""The forms a rule can run in, best first; each says which rules it refuses, and why."""

from memory_rules import AbstractMemoryRule
from playground.compile.lowering.base import Lowering
from playground.compile.lowering.chunked import CHUNKED, loops_on_cpu
from playground.compile.lowering.classify import classify
from playground.compile.lowering.recurrent import RECURRENT
from playground.compile.lowering.triton import TRITON
from playground.compile.target import Target

LOWERINGS: tuple[Lowering, ...] = (TRITON, CHUNKED, RECURRENT)


def choose(
    rule: AbstractMemoryRule, target: Target, asked: str
) -> tuple[Lowering | None, dict[str, str]]:
    """The lowering that a rule runs in, None for none, and why the others are not it.

    Args:
        rule: any rule.
        target: where it will run.
        asked: the name of one, or auto for the best that does not refuse.
    """
    why = {low.name: low.refuses(rule, target) for low in LOWERINGS}
    for low in LOWERINGS:
        other = low.by_name if asked == "auto" else f"lowering={asked}"
        if low.name != asked and not why[low.name]:
            why[low.name] = other
    usable = [low for low in LOWERINGS if not why[low.name]]
    best = min(usable, key=lambda low: low.rank, default=None)
    return best, {name: reason for name, reason in why.items() if reason}


__all__ = ["LOWERINGS", "Lowering", "choose", "classify", "loops_on_cpu"]
