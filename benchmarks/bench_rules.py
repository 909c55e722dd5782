"""Every rule by its forms: recurrent (few tokens), chunked eager, chunked compiled."""

from collections.abc import Callable
from itertools import product

import pytest

from memory_rules import RULES
from playground.bench import MODES, SCALES, GateScale, Mode, Shape, check_scan, make_problem, work
from playground.compile import LOWERINGS, Target

FORMS = {low.name: low for low in LOWERINGS}
# few tokens for the recurrence: it takes one after another
SHAPES = (Shape(batch=2, length=32), Shape(batch=2, length=1024))
PATHS = {
    "recurrent": ("recurrent", False),
    "eager": ("chunked", False),
    "compiled": ("chunked", True),
    "triton": ("triton", True),
}


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
    take: Callable[..., None],
) -> None:
    rule, (name, compiled) = RULES[kind](), PATHS[path]
    lowering = FORMS[name]
    if reason := lowering.refuses(rule, Target(compile=compiled)):
        pytest.skip(f"{name} refuses: {reason}")
    scan = lowering.bind(rule, compiled)
    gate = check_scan(rule, scan, shape, scale=scale, gradients=mode != "forward")
    assert gate.green, f"no time for a wrong result: {gate.reason}"
    take(
        work(mode, scan, make_problem(rule, shape, scale=scale)),
        group=f"{kind} {mode} {scale} {shape}",
        tokens=shape.tokens,
        error=gate.error,
    )
