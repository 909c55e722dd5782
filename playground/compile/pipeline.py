"""From a spec to a plan: a literal list of passes, each verified, each printable."""

from collections.abc import Callable

from playground.compile.passes import (
    classify_rules,
    expand,
    resolve_shapes,
    select_attention,
    select_compile,
    select_lowering,
    select_replay,
    select_short_conv,
)
from playground.compile.plan import Plan, verify
from playground.compile.target import Target
from playground.spec import ModelSpec

Pass = Callable[[Plan, Target, str], Plan]
Trace = Callable[[str, Plan], None]

PIPELINE: tuple[Pass, ...] = (
    expand,
    resolve_shapes,
    classify_rules,
    select_lowering,
    select_short_conv,
    select_attention,
    select_compile,
    select_replay,
)


def make_plan(
    spec: ModelSpec, target: Target, *, lowering: str = "auto", trace: Trace | None = None
) -> Plan:
    """Run every pass over a model.

    Args:
        spec: the model.
        target: where it will run.
        lowering: auto, or the one every memory must use.
        trace: called with each pass's name and the plan after it.

    Raises:
        LoweringError: nothing can run a part as asked; it lists each lowering's reason.
    """
    plan, done = Plan(model=spec), frozenset[str]()
    for pass_ in PIPELINE:
        plan = pass_(plan, target, lowering)
        done = done | {pass_.__name__}
        verify(plan, done)
        if trace is not None:
            trace(pass_.__name__, plan)
    return plan
