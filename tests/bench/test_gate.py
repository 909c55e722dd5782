"""The gate: right scans are green, wrong ones are red, and a red row has no time."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memory_rules import RULES, AbstractMemoryRule, Inputs, State
from playground.bench import SCALES, GateScale, Row, Shape, check_scan, measure_row
from playground.bench.gate import Gate
from playground.bench.inputs import make_problem
from playground.bench.matrix import measure_matrix
from playground.bench.write import as_json, as_markdown, stamp
from playground.compile import LOWERINGS, Target

FORMS = {low.name: low for low in LOWERINGS}
CHUNKED, TRITON, RECURRENT = (FORMS[name] for name in ("chunked", "triton", "recurrent"))
SHAPE = Shape(batch=1, length=20, heads=2, width=8)
EAGER = Target(compile=False)
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


def test_a_row_has_a_time_only_behind_a_green_gate() -> None:
    row = measure_row(TITANS, CHUNKED, SHAPE, EAGER, warmup=0, repeats=2, mode="forward_backward")
    assert row.times is not None
    assert row.gate is not None
    assert row.tokens_per_s == pytest.approx(20e3 / row.times.median)
    red = Gate(green=False, error=3.0, where="y")
    row = measure_row(TITANS, CHUNKED, SHAPE, EAGER, gatekeeper=lambda *_, **__: red)
    assert row.times is None
    assert row.said == "FAIL: y: 3 times the error allowed"
    with pytest.raises(ValueError, match="no green gate"):
        replace(row, times=measure_row(TITANS, CHUNKED, SHAPE, EAGER, repeats=1).times)


def test_a_refused_pair_is_a_row_with_its_reason() -> None:
    deep = RULES["titans"](anchor="token")
    forms = [(low, EAGER) for low in (RECURRENT, CHUNKED, TRITON)]
    rows = list(measure_matrix([deep], forms, [SHAPE], modes=["forward"]))
    assert [row.lowering for row in rows] == ["recurrent", "chunked", "triton"]
    assert rows[0].times is not None
    assert "no exact chunk form" in rows[1].refused
    assert "needs CUDA" in rows[2].refused


def test_rows_are_written_as_a_table_and_as_json() -> None:
    rows = [
        measure_row(TITANS, form, SHAPE, EAGER, warmup=0, repeats=1) for form in (CHUNKED, TRITON)
    ]
    table = as_markdown(rows).splitlines()
    assert len(table) == 4
    assert "chunked eager" in table[2]
    assert "refused: needs CUDA" in table[3]
    text = as_json(rows, stamp())
    assert '"said": "refused: needs CUDA, target is cpu"' in text
    assert '"threads"' in text


def test_a_row_says_its_path() -> None:
    said = {"rule": "delta", "rule_class": "B", "shape": SHAPE, "scale": "default"}
    row = Row(**said, mode="forward", lowering="chunked", compiled=True, refused="why not")
    assert row.path == "chunked compiled"
    assert replace(row, lowering="recurrent").path == "recurrent"
