"""What `explain` says of a model: its plan, its rules, its graphs."""

import inspect
from pathlib import Path
from typing import Any

import torch

from memory_rules import AbstractMemoryRule
from playground.compile import Plan, Target, build, make_plan
from playground.errors import PlaygroundError
from playground.spec import ModelSpec, RunSpec, load

_COMPILED = {True: "compiled", "loops": "loops compiled", False: "not compiled"}


def explanation(spec: Path, words: list[str], *, no_compile: bool = False) -> dict[str, Any]:
    """The plan after every pass, the equations of its rules, and its graph breaks, as plain data.

    Raises:
        SpecError, LoweringError: the spec, or what it asks for, cannot be used.
    """
    found = load(spec, *words)
    if isinstance(found, ModelSpec):
        model, target, asked = found, Target.of("auto", compile=not no_compile), "auto"
    elif isinstance(found, RunSpec):
        model, asked = found.model, found.lowering
        compiled = False if no_compile else found.compile
        target = Target.of(found.device, compile=compiled, mode=found.run.compile_mode)
    else:
        raise PlaygroundError(f"{spec}: is of kind {found.kind}. Explain one of its models.")
    passes: list[dict[str, Any]] = []

    def keep(name: str, plan: Plan) -> None:
        passes.append({"pass": name, "plan": plan.rows(), "text": str(plan)})

    plan = make_plan(model, target, lowering=asked, trace=keep)
    return {
        "spec": str(spec),
        "target": f"{target.device}, {_COMPILED[target.compile]}",
        "passes": passes,
        "rules": [_rule(rule) for rule in _rules(model)],
        "graphs": _graphs(plan, asked) if target.compile is True else [],
    }


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
