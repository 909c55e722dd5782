"""What `explain` says of a model: its plan, its rules, its graphs."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from memory_rules import AbstractMemoryRule
from playground.cli.loading import OF_RUNS, first_part, is_model, load_asked
from playground.compile import Plan, Target, build, make_plan
from playground.errors import PlaygroundError
from playground.spec import Compile, ModelSpec, RunSpec, convert, load_model
from playground.spec.merge import apply
from playground.spec.raw import parse_override
from playground.spec.run import ExecutionSpec, check_device

_COMPILED = {True: "compiled", "loops": "loops compiled", False: "not compiled"}


def explanation(spec: Path, words: list[str], *, no_compile: bool = False) -> dict[str, Any]:
    """The plan after every pass, the equations of its rules, and its graph breaks, as plain data.

    Raises:
        SpecError, LoweringError: the spec, or what it asks for, cannot be used.
    """
    model, how = _asked(spec, words)
    compiled = False if no_compile else how.compile
    target = Target.of(how.device, compile=compiled, mode=how.run.compile_mode)
    passes: list[dict[str, Any]] = []

    def keep(name: str, plan: Plan) -> None:
        passes.append({"pass": name, "plan": plan.rows(), "text": str(plan)})

    plan = make_plan(model, target, lowering=how.lowering, trace=keep)
    return {
        "spec": str(spec),
        "target": f"{target.device}, {_COMPILED[target.compile]}",
        "passes": passes,
        "rules": [_rule(rule) for rule in _rules(model)],
        "graphs": _graphs(plan, how.lowering) if target.compile is True else [],
    }


@dataclass(frozen=True, kw_only=True)
class How:
    """How a model is carried out, where no run says it: fields of a run that need no task."""

    device: str = "auto"
    lowering: Literal["auto", "recurrent", "chunked", "triton"] = "auto"
    compile: Compile = True
    run: ExecutionSpec = field(default_factory=ExecutionSpec)

    def __post_init__(self) -> None:
        check_device(self.device)


def _asked(spec: Path, words: list[str]) -> tuple[ModelSpec, How]:
    """The model that is meant, and how it is carried out."""
    ways = How.__dataclass_fields__.keys()
    named = {first_part(word) for word in words}
    if named & ways and not named & (OF_RUNS - ways) and is_model(spec):
        how = [parse_override(word) for word in words if first_part(word) in ways]
        model = load_model(spec, *(word for word in words if first_part(word) not in ways))
        return model, convert(How, apply(How, {}, how))
    found = load_asked(spec, words)
    if isinstance(found, ModelSpec):
        return found, How()
    if not isinstance(found, RunSpec):
        raise PlaygroundError(
            f"{spec}: is of kind {found.kind}. Explain one of its models: name a model or a run."
        )
    return found.model, How(
        device=found.device, lowering=found.lowering, compile=found.compile, run=found.run
    )


def _rules(model: ModelSpec) -> list[AbstractMemoryRule]:
    """The different rules of a model, from the first layer on."""
    memories = [getattr(block, "memory", None) for block in model.blocks()]
    return list(dict.fromkeys(memory.rule for memory in memories if memory is not None))


def _rule(rule: AbstractMemoryRule) -> dict[str, str]:
    """A rule's equations: the docstring of its file, or of its class where that has none."""
    module = inspect.getmodule(type(rule))
    equations = inspect.getdoc(module) or inspect.getdoc(type(rule)) or ""
    return {"kind": rule.kind, "paper": rule.paper, "rule": repr(rule), "equations": equations}


def _graphs(plan: Plan, asked: str) -> list[dict[str, Any]]:
    """What torch.compile makes of each different block: graphs, and breaks between them.

    The bodies are compiled with fullgraph=True, under which a break is an error; here they are
    counted.
    """
    eager = {node.name.rpartition(".")[0] for node in plan.nodes if node.compiled is False}
    seen: set[object] = set()
    model = build(plan.model, lowering=asked)
    rows: list[dict[str, Any]] = []
    for index, spec in enumerate(plan.model.blocks()):
        if spec in seen or f"blocks.{index}" in eager:
            continue
        seen.add(spec)
        block: Any = model.blocks[index]
        x = torch.randn(1, plan.model.period, plan.model.dim)
        torch.compiler.reset()
        told = torch._dynamo.explain(block)(x, block.start(1).detach())
        rows.append(
            {
                "block": f"blocks.{index} ({spec.kind})",
                "graphs": told.graph_count,
                "breaks": told.graph_break_count,
                "reasons": [str(reason.reason) for reason in told.break_reasons],
            }
        )
    torch.compiler.reset()
    return rows


def print_explanation(found: dict[str, Any]) -> None:
    """The same for a person."""
    print(f"{found['spec']} for {found['target']}")
    for step in found["passes"]:
        print(f"\n-- after {step['pass']}\n{step['text']}")
    for rule in found["rules"]:
        print(f"\n-- rule {rule['kind']} ({rule['paper']})\n{rule['rule']}\n\n{rule['equations']}")
    print("\n-- graphs")
    for row in found["graphs"]:
        print(f"{row['block']}: {row['graphs']} graph, {row['breaks']} breaks")
        for reason in row["reasons"]:
            print(f"  {reason}")
    if not found["graphs"]:
        print("no block is compiled")
