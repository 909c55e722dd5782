"""Every rule by its forms: recurrent (few tokens), chunked eager, chunked compiled."""

from collections.abc import Callable
from itertools import product

import pytest

from memory_rules import RULES
from playground.bench import MODES, PATHS, SCALES, GateScale, Mode, RuleWork, Shape

# few tokens for the recurrence: it takes one after another
SHAPES = (Shape(batch=2, length=32), Shape(batch=2, length=1024))


def cases() -> list[tuple[str, str, Shape, GateScale, Mode]]:
    """Rules x forms x shapes x gates x modes; the recurrence on few tokens only."""
    every = product(sorted(RULES), PATHS, SHAPES, SCALES, MODES)
    return [c for c in every if (c[1] == "recurrent") <= (c[2].length <= 32)]


@pytest.mark.parametrize(
    ("kind", "path", "shape", "scale", "mode"), cases(), ids=lambda value: str(value)
)
def test_rule(
    kind: str,
    path: str,
    shape: Shape,
    scale: GateScale,
    mode: Mode,
    take_cell: Callable[..., None],
) -> None:
    work = RuleWork(rule=RULES[kind](), name=kind, shape=shape, mode=mode, scale=scale)
    take_cell(work.group((path,)), path)
