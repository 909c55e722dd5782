"""Whole models: every mode behind its gate, and which form ran, as seen in a call."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from playground.bench import ModelBench, ModelOracle, Row, measure_group
from playground.bench.model_work import ModelWork
from playground.bench.models import CompiledBody, forms_of, shape_of
from playground.compile import Plan, build
from playground.compile import compile as compile_model
from playground.spec import ModelSpec, convert

MEMORY = {"kind": "titans", "chunk_size": 4, "expand": 1.0, "heads": 2, "conv": 2}
SPEC = convert(
    ModelSpec,
    {
        "kind": "model",
        "vocab": 16,
        "dim": 8,
        "depth": 1,
        "persistent_tokens": 1,
        "block": {"kind": "mag", "memory": MEMORY, "attention": {"heads": 2}, "window_len": 4},
    },
)
SHAPE = shape_of(2, 10, "fp32")
ORACLE = ModelOracle(SPEC, SHAPE)
CALLS = {(2, 10): (2, 10), (16, 256): (4, 256), (16, 64): (16, 64), (64, 64): (16, 64)}
MODES = ("forward", "forward_backward", "train_step", "prefill", "decode")


def bench_of(mode: str, spec: ModelSpec = SPEC, oracle: ModelOracle = ORACLE) -> ModelBench:
    return ModelBench(name="mag", spec=spec, shape=SHAPE, mode=mode, oracle=oracle)


def rows_of(bench: ModelBench, *paths: str) -> dict[str, Row]:
    rows = measure_group(bench.group(paths), device="cpu", repeats=1, warmup=0)
    return {row.path: row for row in rows}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_a_time_behind_a_green_gate_and_triton_its_reason(mode: str) -> None:
    rows = rows_of(bench_of(mode), "eager", "triton")
    row = rows["eager"]
    assert row.times is not None
    assert row.gate is not None
    assert row.gate.relative < 1e-5
    assert row.ran == {"blocks.0.attention": "sdpa eager", "blocks.0.memory": "chunked eager"}
    assert row.cost.bytes > 0
    assert rows["triton"].said == "cannot run: needs CUDA, target is cpu"


@pytest.mark.parametrize("mode", ["forward", "train_step", "decode"])
def test_a_model_whose_scan_is_off_fails_and_has_no_time(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playground.bench import models

    right = models.compile_model

    def wrong(*args: Any, **kwargs: Any) -> Any:
        model: Any = right(*args, **kwargs)
        layer = model.blocks[0].memory
        scan = layer.scan

        def off(rule: Any, state: Any, inputs: Any) -> Any:
            y, after = scan(rule, state, inputs)
            return y + 0.01 * torch.roll(y, 1, dims=-1), after

        layer.scan = off
        return model

    monkeypatch.setattr(models, "compile_model", wrong)
    row = rows_of(bench_of(mode), "eager")["eager"]
    assert row.times is None
    assert row.said.startswith("FAIL: ")


def test_a_model_without_a_memory_has_no_triton_path() -> None:
    spec = convert(ModelSpec, {"vocab": 16, "dim": 8, "depth": 1, "block": {"kind": "attention"}})
    rows = rows_of(bench_of("forward", spec, ModelOracle(spec, SHAPE)), "eager", "triton")
    assert rows["eager"].times is not None
    assert "no memory" in rows["triton"].refused


def test_training_steps_leave_the_weights_where_they_were() -> None:
    prepared = bench_of("train_step").cell("eager").prepare()
    first, second = prepared.run(), prepared.run()
    assert torch.equal(first, second)


def test_an_infinite_gradient_of_the_timed_steps_is_said() -> None:
    model = compile_model(SPEC, seed=0)
    for weight in model.parameters():
        weight.register_hook(lambda slope: slope * math.inf)
    work = ModelWork(model, vocab=16, batch=2, length=10, dtype="fp32", device="cpu")
    work.train_step()()
    found = ORACLE.check(model, "train_step", "cpu")
    assert (found.green, found.reason) == (False, "a gradient of the timed steps: not finite")


def test_long_calls_are_checked_on_fewer_tokens() -> None:
    assert ModelOracle(SPEC, shape_of(8, 250, "fp32")).shape.length == 250
    short = ModelOracle(SPEC, shape_of(8, 4096, "bf16")).shape
    assert (short.batch, short.length, short.dtype) == (2, 11, "bf16")


def test_many_sequences_are_checked_on_fewer_of_them() -> None:
    # The oracle keeps a memory for every token: 24 GB of 16 x 256 tokens through four matrices.
    found = {(b, t): ModelOracle(SPEC, shape_of(b, t, "fp32")).shape for b, t in CALLS}
    assert {asked: (shape.batch, shape.length) for asked, shape in found.items()} == CALLS


def test_the_form_that_ran_is_looked_at_and_not_taken_from_the_plan() -> None:
    model: Any = build(SPEC)
    block, plain = model.blocks[0], Plan(model=SPEC, nodes=model.plan.nodes)
    names = tuple(block.bodies)
    methods: dict[str, Callable[..., Any]] = {name: getattr(block, name) for name in names}
    for name, method in methods.items():
        body = CompiledBody(method, None)
        body.compiled = method  # as if it were compiled
        setattr(block, name, body)
    model.plan = plain
    state = model.start(1)

    def call(length: int) -> Callable[[], object]:
        return lambda: model(torch.zeros(1, length, dtype=torch.int64), state)

    assert set(forms_of(model, call(5)).values()) == {"sdpa compiled", "chunked compiled"}
    assert set(forms_of(model, call(1)).values()) == {"sdpa eager", "chunked eager"}
    assert all(getattr(block, name).method == methods[name] for name in names)


@pytest.mark.slow
@pytest.mark.compile
def test_a_compiled_model_says_so_and_that_its_single_tokens_are_not() -> None:
    row = rows_of(bench_of("forward_backward"), "eager", "compiled")["compiled"]
    assert row.times is not None, row.said
    assert row.ran["blocks.0.memory"] == "chunked compiled"
    assert (row.graph_breaks, row.compile_s > 0) == (0, True)
    row = rows_of(bench_of("decode"), "compiled", "eager")["compiled"]
    assert row.ran["blocks.0.memory"] == "chunked eager"
