"""The compiler: a spec becomes a plan, a plan becomes a module, and every choice has its reason."""

from collections.abc import Sequence

import torch
from torch import Tensor

from blocks.model import AbstractModel
from memory_rules import AbstractMemoryRule, Inputs, State
from playground.compile.build import compile_bodies, construct, place
from playground.compile.lowering import LOWERINGS, Lowering, choose, classify
from playground.compile.pipeline import PIPELINE, make_plan
from playground.compile.plan import Node, Plan
from playground.compile.process import prepare_process, tag_compiled_programs
from playground.compile.stacked import Stacked, StackedWeights
from playground.compile.target import Target
from playground.compile.toolchain import find_compiler, require_compiler
from playground.errors import LoweringError
from playground.spec import Compile, CompileMode, ModelSpec

prepare_process()
tag_compiled_programs()


def build(spec: ModelSpec, *, seed: int = 0, lowering: str = "auto") -> AbstractModel:
    """A model on the CPU, not compiled: `logits = model(tokens)`.

    Args:
        spec: the model.
        seed: of its initial weights.
        lowering: auto, or the form every memory must run in.
    """
    plan = make_plan(spec, Target(compile=False), lowering=lowering)
    model = construct(plan, seed=seed)
    model.plan = plan  # pyright: ignore
    return model


def stack(
    spec: ModelSpec,
    models: Sequence[AbstractModel],
    *,
    device: str = "cpu",
    lowering: str = "auto",
    compile: Compile = True,
) -> tuple[StackedWeights, list[Stacked]]:
    """Models as one program: their stacked weights, and the forms in which it can run.

    Args:
        spec: of a model that all are masks of; see `host_of`.
        models: not compiled; from now on their parameters are views of the stacked ones.
        device: where they are: auto, cpu or cuda.
        lowering: auto, or the form every memory must run in.
        compile: false gives the eager form, loops that with its loops over chunks compiled; true
            its `first_form` and, unless the plan leaves a block eager, one wholly under
            torch.compile.

    Raises:
        LoweringError: nothing can run it as asked, or there is no C++ compiler.
        ValueError: a model is no mask of the spec.
    """
    dtype, hosts = next(models[0].parameters()).dtype, []
    for form in (first_form(compile, device), *([True] if compile is True else [])):
        target = _target(device, form)
        plan = make_plan(spec, target, lowering=lowering)
        if form is not True or not plan.eager_blocks():  # a loop over tokens would be unrolled
            hosts.append(place(construct(plan, seed=0), target).to(dtype))
    weights = StackedWeights(models, hosts[0])
    return weights, [Stacked(spec, weights, host, compiled=i > 0) for i, host in enumerate(hosts)]


def first_form(compile: Compile, device: str) -> Compile:
    """How a stack begins that may be compiled so: what needs seconds of preparation at most.

    On a CPU loops are compiled in seconds, which pays even for short runs.
    """
    if compile is True:
        return "loops" if Target.of(device).device == "cpu" else False
    return compile


def _target(device: str, compile: Compile, mode: CompileMode = "default") -> Target:
    """What a plan is made for.

    Raises:
        LoweringError: there is no C++ compiler, and the target is a CPU; or no such way to compile.
    """
    if not isinstance(compile, bool) and compile != "loops":
        fix = "Write True, False or 'loops'."
        raise LoweringError("compile", f"{compile!r} is no way to compile.", fix=fix)
    target = Target.of(device, compile=compile, mode=mode)
    if compile and target.device == "cpu":
        require_compiler()
    return target


def compile(
    spec: ModelSpec,
    *,
    device: str = "cpu",
    lowering: str = "auto",
    compile: Compile = True,
    mode: CompileMode = "default",
    seed: int = 0,
) -> AbstractModel:
    """A model ready to run: lowered, on its device, its bodies under torch.compile.

    Args:
        spec: the model.
        device: auto, cpu or cuda.
        lowering: auto, or the form every memory must run in.
        compile: false runs the same mathematics eagerly; loops compiles loops over chunks alone,
            on a CPU to programs that take seconds to make.
        mode: graphs records kernels as CUDA graphs and replays them, where shapes come again.
        seed: of its initial weights.

    Raises:
        LoweringError: nothing can run it as asked, or there is no C++ compiler.
    """
    target = _target(device, compile, mode)
    plan = make_plan(spec, target, lowering=lowering)
    model = place(construct(plan, seed=seed), target)
    if compile is True:
        compile_bodies(model, plan)
    model.plan = plan  # pyright: ignore
    return model


def scan(
    rule: AbstractMemoryRule,
    state: State,
    inputs: Inputs,
    *,
    lowering: str = "auto",
    compile: bool = False,
) -> tuple[Tensor, State]:
    """Run one rule over tokens.

    Args:
        rule: any rule.
        state: from `rule.initial_state`, or from the call before.
        inputs: tokens, [B, T, H, d].
        lowering: recurrent, chunked, triton, or auto for the best that does not refuse.
        compile: whether its bodies go through torch.compile.

    Returns:
        y [B, T, H, V] and the state after the tokens.

    Raises:
        LoweringError: the lowering asked for does not exist or refuses; it says why.
    """
    target = Target.of(str(inputs.q.device), compile=compile)
    names = [low.name for low in LOWERINGS]
    if lowering != "auto" and lowering not in names:
        raise LoweringError("lowering", f"{lowering!r} is none of {', '.join(names)}.")
    best, reasons = choose(rule, target, lowering)
    if best is None:
        raise LoweringError("scan", f"{lowering} cannot run {rule.kind}.", reasons)
    with torch.cuda.device_of(inputs.q):  # kernels are started on the current GPU
        return best.bind(rule, compile)(rule, state, inputs)


__all__ = [
    "LOWERINGS",
    "PIPELINE",
    "Lowering",
    "Node",
    "Plan",
    "Target",
    "build",
    "classify",
    "compile",
    "find_compiler",
    "first_form",
    "make_plan",
    "require_compiler",
    "scan",
]
