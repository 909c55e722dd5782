"""FLOPs by formula against FLOPs counted on the eager forms."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blocks.spec import (
    Attention,
    AttentionSpec,
    Conv,
    FeedForwardSpec,
    Identity,
    Lmm,
    Mac,
    Mag,
    Mal,
    MemorySpec,
    Positions,
)
from memory_rules import RULES, AbstractMemoryRule, recurrent
from memory_rules.testing import Case, make_case
from playground.compile import Target, build, classify, make_plan
from playground.compile.flops import flops_per_token, memory_flops, node_flops
from playground.compile.lowering import affine
from playground.compile.lowering.chunked import CHUNKED, LoopScan
from playground.compile.lowering.operator import LOOPS
from playground.compile.rule_flops import rule_flops
from playground.spec import LayersSpec, ModelSpec

DIM, TOKENS = 16, 128  # whole chunks of every form
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in RULES},
    "deep": ("titans", {"depth": 3, "chunk_size": 32}),
    "swiglu": ("titans", {"network": "swiglu", "momentum": "none"}),
    "passes": ("titans", {"anchor": "passes:2"}),
    "passes-channel": ("titans", {"anchor": "passes:1", "decay": "channel"}),
    "channel-start": ("titans", {"decay": "channel", "decay_towards": "start"}),
    "value-channel": ("titans", {"decay": "value_channel", "momentum": "none"}),
    "newton-schulz": ("titans", {"inner": "newton_schulz"}),
    "vector": ("titans", {"network": "vector"}),
    "window-channel": ("omega", {"network": "linear", "decay": "channel", "momentum": "token"}),
    "window-value": ("omega", {"network": "linear", "decay": "value_channel"}),
    "token-linear": ("titans", {"network": "linear", "plain": True, "anchor": "token"}),
}


@pytest.fixture(params=sorted(VARIANTS))
def rule(request: pytest.FixtureRequest) -> AbstractMemoryRule:
    kind, fields = VARIANTS[request.param]
    return RULES[kind](**fields)


def case_of(rule: AbstractMemoryRule, tokens: int) -> Case:
    return make_case(rule, B=1, H=1, T=tokens, dim=DIM, gates="default").to(torch.float32)


def count_chunked(case: Case) -> float:
    """Operators hide their products from the counter: the loop is called inside of its own."""
    scan, rule, state, x = CHUNKED.bind(case.rule, False), case.rule, case.state(), case.inputs
    if not isinstance(scan, LoopScan):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            scan(rule, state, x)
        return counter.get_total_flops() / x.batch_size[1]
    wire = scan.wires[False]
    flat = [t for group in wire.state_lists(state) for t in group]
    flat += wire.tokens_list(x, scan.rule.rates(x), state)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        LOOPS[scan.loops[False]].forward([*flat, state.position], False)
    return counter.get_total_flops() / x.batch_size[1]


def test_a_chunked_rule_costs_what_its_formula_says(
    rule: AbstractMemoryRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affine, "state_scan", affine.state_scan._init_fn)
    parts = rule_flops(rule, DIM)
    parts.pop("solve", None)  # the counter knows no triangular solve
    assert count_chunked(case_of(rule, TOKENS)) == pytest.approx(sum(parts.values()), rel=1e-6)


def test_a_recurrent_rule_costs_what_its_formula_says(rule: AbstractMemoryRule) -> None:
    case = case_of(rule, 2)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        recurrent(rule, case.state(), case.inputs)
    parts = rule_flops(rule, DIM, lowering="recurrent")
    per_chunk = parts.pop("close", 0.0) * getattr(rule, "chunk_size", 1)
    counted = counter.get_total_flops() / 2 - per_chunk  # every step closes, and keeps one of C
    assert counted == pytest.approx(sum(parts.values()), rel=1e-6)


def test_the_formula_of_one_mlp_is_the_one_in_the_docstring() -> None:
    rule, dim, size = RULES["titans"](chunk_size=64, expand=2.0), 64, 64
    matrices, first, widths = 2 * 64 * 128, 64 * 128, 2 * (64 + 128)
    expected = 12 * matrices - 2 * first + 2 * size * widths
    assert sum(rule_flops(rule, dim).values()) == expected


def test_a_short_call_makes_a_short_chunk() -> None:
    rule = RULES["titans"](chunk_size=64)
    assert rule_flops(rule, DIM, length=8) == rule_flops(RULES["titans"](chunk_size=8), DIM)


def test_a_token_gradient_of_a_deep_memory_is_counted_in_its_recurrent_form() -> None:
    rule = RULES["titans"](anchor="token")
    assert classify(rule)[0] == "E"
    assert rule_flops(rule, DIM) == rule_flops(rule, DIM, lowering="recurrent")


MEMORY = MemorySpec(rule=RULES["titans"](chunk_size=4, expand=1.0), heads=2, conv=2)
GATED = MemorySpec(rule=RULES["gla"](), heads=2, conv=0)
HEADS, FEED = AttentionSpec(heads=4, kv_heads=2), FeedForwardSpec(kind="gelu", expand=2.0)
BLOCKS: dict[str, Any] = {
    "lmm": Lmm(memory=MEMORY, feedforward=FEED),
    "channel gates": Lmm(memory=GATED),
    "mac": Mac(memory=MEMORY, attention=HEADS, segment_len=8),
    "mag": Mag(memory=MEMORY, attention=HEADS, window_len=4),
    "mag shared": Mag(memory=MEMORY, attention=AttentionSpec(heads=2), shared_qkv=True),
    "mal": Mal(memory=MEMORY, attention=HEADS),
    "attention": Attention(attention=HEADS),
    "conv": Conv(width=3),
    "positions": Positions(),
    "none": Identity(),
}


def model_of(block: Any, **fields: Any) -> ModelSpec:
    return ModelSpec(vocab=11, dim=16, depth=2, persistent_tokens=0, block=block, **fields)


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_a_model_costs_what_its_nodes_say(kind: str) -> None:
    spec, length = model_of(BLOCKS[kind]), 16
    plan = make_plan(spec, Target(compile=False), lowering="recurrent")
    model = build(spec, lowering="recurrent").requires_grad_(False)  # the counter hooks gradients
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, length, dtype=torch.int64))
    unseen = ("conv", "scores")  # elementwise; an operator that the counter does not know
    parts = [p for node in node_flops(plan, length) for p in node.parts.items()]
    expected = sum(flops for name, flops in parts if name not in unseen)
    assert counter.get_total_flops() / length == pytest.approx(expected, rel=1e-6)


def scores(block: Any, length: int, persistent: int = 0) -> float:
    spec = ModelSpec(vocab=11, dim=16, depth=1, persistent_tokens=persistent, block=block)
    nodes = node_flops(make_plan(spec, Target(compile=False)), length)
    return sum(node.parts.get("scores", 0.0) for node in nodes)


def test_attention_is_charged_for_the_keys_its_rows_see() -> None:
    one = 4.0 * 16  # a query against one key, and its value
    assert scores(Attention(), 5) == one * (1 + 2 + 3 + 4 + 5) / 5
    assert scores(Attention(window_len=2), 5, persistent=3) == one * (3 + (1 + 2 + 2 + 2 + 2) / 5)
    mac = Mac(memory=MEMORY, segment_len=4)
    assert scores(mac, 6, persistent=1) == pytest.approx(
        one * (1 + 2 * (1 + 2 + 3 + 4 + 1 + 2) / 6)
    )


def test_layers_of_a_hybrid_stack_are_summed() -> None:
    layers = LayersSpec(pattern="M A", symbols={"M": BLOCKS["lmm"], "A": BLOCKS["attention"]})
    spec = ModelSpec(vocab=11, dim=16, depth=2, layers=layers)
    plan = make_plan(spec, Target(compile=False))
    nodes = node_flops(plan, 32)
    assert {n.name for n in nodes if n.flops} >= {"blocks.0.memory", "blocks.1.attention", "head"}
    assert flops_per_token(plan, 32) == round(sum(n.flops for n in nodes))


def test_gates_of_matrices_that_no_token_writes_are_not_counted() -> None:
    specs = [
        Lmm(memory=MemorySpec(rule=RULES["titans"](written=w), heads=2)) for w in ("all", "last")
    ]
    every, last = (memory_flops(s.memory, 16, "chunked", 64)["gates"] for s in specs)
    assert last == every / 2
