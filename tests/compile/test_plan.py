"""The plan: every choice made once, with its reason, checked after every pass."""

from dataclasses import replace
from pathlib import Path

import pytest

import playground as pg
from memory_rules import RULES
from playground.compile import PIPELINE, Plan, Target, make_plan
from playground.compile.lowering import choose
from playground.compile.plan import Node, PlanError, verify

SPECS = sorted((Path(__file__).parents[2] / "specs" / "models").glob("*.yaml"))


def spec(name: str, *words: str) -> pg.ModelSpec:
    loaded = pg.load(SPECS[0].with_name(f"{name}.yaml"), *words)
    assert isinstance(loaded, pg.ModelSpec)
    return loaded


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_model_spec_has_a_plan_with_a_choice_for_every_memory(path: Path) -> None:
    loaded = pg.load(path)
    assert isinstance(loaded, pg.ModelSpec)
    plan = make_plan(loaded, Target())
    for node in plan.of_kind("memory"):
        assert node.lowering == "chunked"
        assert any("not triton: needs CUDA" in why for why in node.why)
    for node in plan.of_kind("attention"):
        assert node.backend == "sdpa"


def test_the_trace_sees_the_plan_after_every_pass() -> None:
    seen: list[str] = []
    make_plan(spec("titans_mac"), Target(), trace=lambda name, plan: seen.append(name))
    assert seen == [p.__name__ for p in PIPELINE]


def test_a_lowering_that_cannot_run_is_an_error_with_every_reason() -> None:
    model = spec("titans_lmm", "block.memory.anchor=token")
    with pytest.raises(pg.LoweringError, match=r"blocks.0.memory.*(\n.*)*chunked: no exact chunk"):
        make_plan(model, Target(), lowering="chunked")
    with pytest.raises(pg.LoweringError, match="needs CUDA"):
        make_plan(spec("titans_lmm"), Target(), lowering="triton")


def test_an_unknown_lowering_is_a_spec_error_with_the_nearest() -> None:
    with pytest.raises(pg.SpecError, match="chunked"):
        make_plan(spec("titans_lmm"), Target(), lowering="chunky")


def test_a_rule_with_no_chunk_form_runs_recurrent_and_its_block_eager() -> None:
    plan = make_plan(spec("titans_lmm", "block.memory.anchor=token"), Target())
    node = plan.node("blocks.0.memory")
    assert (node.lowering, node.compiled) == ("recurrent", False)
    assert any("token loop" in why for why in node.why)


def test_verify_finds_what_does_not_hold_together() -> None:
    model = spec("titans_lmm")
    a = Node(name="a", kind="norm")
    with pytest.raises(PlanError, match="twice"):
        verify(Plan(model=model, nodes=(a, a)), frozenset())
    with pytest.raises(PlanError, match="has not run"):
        verify(Plan(model=model, nodes=(replace(a, inputs=("b",)),)), frozenset())
    memory = Node(name="m", kind="memory")
    with pytest.raises(PlanError, match="select_lowering"):
        verify(
            Plan(model=model, nodes=(replace(memory, rule_class="C"),)),
            frozenset({"classify_rules", "select_lowering"}),
        )


def test_a_plan_prints_names_choices_and_reasons() -> None:
    text = str(make_plan(spec("titans_mac"), Target(compile=False)))
    assert "blocks.0.memory" in text
    assert "chunked eager" in text
    assert "class C: gradients at the start of chunks" in text


def test_kernels_are_taken_by_name_only() -> None:
    rule, cuda = RULES["gated_delta"](), Target(device="cuda")
    best, why = choose(rule, cuda, "auto")
    assert best is not None and best.name == "chunked"
    assert "write lowering: triton" in why["triton"]
    best, why = choose(rule, cuda, "triton")
    assert best is not None and best.name == "triton"
    assert why == {"chunked": "lowering=triton", "recurrent": "lowering=triton"}
    best, why = choose(RULES["moneta"](), cuda, "triton")
    assert best is None and why["triton"] == "no kernel for class D"
