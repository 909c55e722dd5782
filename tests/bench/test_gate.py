"""The gate: right scans are green, wrong ones are red, and a red row has no time."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memory_rules import RULES, AbstractMemoryRule, Inputs, State
from playground.bench import SCALES, GateScale, Shape, check_scan
from playground.bench.gate import judge
from playground.bench.inputs import make_problem
from playground.compile import LOWERINGS

(CHUNKED,) = (low for low in LOWERINGS if low.name == "chunked")
SHAPE = Shape(batch=1, length=20, heads=2, width=8)
TITANS = RULES["titans"](chunk_size=4, expand=1.0)


def test_a_chunked_scan_is_green_at_every_scale_of_the_gates() -> None:
    for scale in SCALES:
        gate = check_scan(TITANS, CHUNKED.bind(TITANS, False), SHAPE, scale=scale)
        assert gate.green, gate.reason


def test_bf16_tokens_are_gated_at_their_own_precision() -> None:
    shape = replace(SHAPE, dtype="bf16")
    assert check_scan(TITANS, CHUNKED.bind(TITANS, False), shape).green


@pytest.mark.parametrize("wrong", ["scaled", "late", "nan", "memory", "gradient"])
def test_a_wrong_scan_is_red(wrong: str) -> None:
    right = CHUNKED.bind(TITANS, False)

    def scan(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
        y, after = right(rule, state, inputs)
        if wrong == "scaled":
            y = y * (1 + 1e-4)
        elif wrong == "late":
            y = torch.roll(y, 1, dims=1)
        elif wrong == "nan":
            y = y * float("nan")
        elif wrong == "memory":
            after = after.replace(memory=after.memory * 1.001)
        else:
            y = y.detach() + 0.999 * (y - y.detach())
        return y, after

    gate = check_scan(TITANS, scan, SHAPE)
    assert not gate.green
    assert gate.reason


def test_gates_reach_the_scale_that_was_asked_for() -> None:
    def decay(scale: GateScale) -> float:
        problem = make_problem(TITANS, SHAPE, scale=scale)
        return float(problem.inputs.gates["decay", "w1"].mean())

    assert decay("strong") > 0.8
    assert decay("weak") < 0.001 < decay("default") < 0.05


def test_a_problem_is_a_function_of_its_arguments() -> None:
    one, two = (make_problem(RULES["ssd"](), SHAPE, seed=3).leaves() for _ in range(2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    other = make_problem(RULES["ssd"](), SHAPE, seed=4).leaves()
    assert not torch.equal(one["q"], other["q"])
    assert one["gates.rate.w"].std(dim=1).max() == 0  # a gate per head is the same for all tokens


def test_a_tolerance_of_ones_own_takes_the_place_of_the_recurrences_error() -> None:
    right = CHUNKED.bind(TITANS, False)
    assert check_scan(TITANS, right, SHAPE, tolerance=1e-4).green
    red = check_scan(TITANS, right, SHAPE, tolerance=1e-12)
    assert not red.green
    assert 1e-12 < red.relative < 1e-4


def test_a_small_tensor_that_the_recurrence_met_by_luck_is_not_held_to_it() -> None:
    exact = {n: torch.ones(2, dtype=torch.float64) for n in ("a", "b", "c")}
    plain = {"a": exact["a"] + 1e-6, "b": exact["b"] + 2e-6, "c": exact["c"] + 1e-9}
    near = {"a": exact["a"], "b": exact["b"], "c": exact["c"] + 5e-6}
    assert judge(exact, plain, near, torch.float32).green
    off = near | {"c": exact["c"] + 1e-4}
    gate = judge(exact, plain, off, torch.float32)
    assert not gate.green and gate.where == "c"
