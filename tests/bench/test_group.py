"""From a group to its rows: no time for a wrong result, and a reason for every gap."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memory_rules import RULES, AbstractMemoryRule, Inputs, Scan, State
from playground.bench import Gate, Group, Peak, Row, RuleWork, Shape, Times, measure_group
from playground.bench.cell import Cell, Prepared
from playground.bench.work import STEPS
from playground.compile import LOWERINGS, Lowering

FORMS = {low.name: low for low in LOWERINGS}
SHAPE = Shape(batch=1, length=9, heads=1, width=8)
TITANS = RULES["titans"](chunk_size=4, expand=1.0)
PEAK = Peak(flops_per_s=1e12, bytes_per_s=1e11, size=64)
ROW = Row(kind="rule", what="delta", mode="forward", shape=SHAPE, path="eager")
TIMES = Times.of([2.0])


def work_of(rule: AbstractMemoryRule = TITANS, mode: str = "forward") -> RuleWork:
    return RuleWork(rule=rule, name=rule.kind, shape=SHAPE, mode=mode)


def rows_of(group: Group, **more: object) -> dict[str, Row]:
    rows = measure_group(group, device="cpu", repeats=2, warmup=0, **more)
    return {row.path: row for row in rows}


@pytest.mark.parametrize("mode", ["forward", "forward_backward", "decode"])
def test_every_path_of_a_rule_has_a_time_or_a_reason(mode: str) -> None:
    group = work_of(mode=mode).group(("recurrent", "eager", "triton"))
    rows = rows_of(group, peak=PEAK, baseline="eager")
    assert list(rows) == ["recurrent", "eager", "triton"]
    eager, triton, tokens = rows["eager"], rows["triton"], 1 if mode == "decode" else 9
    assert eager.times is not None
    assert eager.tokens_per_s == pytest.approx(tokens * 1e3 / eager.times.median)
    assert eager.speedup == 1.0
    assert rows["recurrent"].speedup == pytest.approx(
        eager.times.median / rows["recurrent"].times.median
    )
    assert eager.cost.flops / eager.times.median * 1e3 / 1e12 == pytest.approx(eager.flops_share)
    assert eager.bytes_share > 0
    assert (eager.ran, eager.compile_s) == ({"scan": "chunked eager"}, None)
    assert triton.times is None
    assert triton.said == "cannot run: needs CUDA, target is cpu"


@pytest.mark.parametrize("wrong", ["outputs", "state", "gradients"])
def test_a_kernel_broken_on_purpose_fails_and_has_no_time(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(rule: AbstractMemoryRule, compiled: bool) -> Scan:
        right = FORMS["chunked"].bind(rule, False)

        def scan(rule: AbstractMemoryRule, state: State, x: Inputs) -> tuple[Tensor, State]:
            y, after = right(rule, state, x)
            if wrong == "outputs":
                y = y * 1.01
            elif wrong == "state":
                after = after.replace(memory=after.memory * 1.01)
            else:
                y = y.detach() + 1.01 * (y - y.detach())
            return y, after

        return scan

    broken = replace(FORMS["triton"], bind=bind, refuses=lambda rule, target: "")
    forms: tuple[Lowering, ...] = (broken, FORMS["chunked"], FORMS["recurrent"])
    monkeypatch.setattr("playground.bench.rules.LOWERINGS", forms)
    group = work_of(mode="forward_backward").group(("eager", "triton"))
    rows = rows_of(group)
    assert rows["eager"].times is not None
    assert rows["triton"].times is None
    assert rows["triton"].speedup is None
    assert rows["triton"].said.startswith("FAIL: ")
    assert "times the error allowed" in rows["triton"].said
    assert rows["triton"].gate.relative == pytest.approx(0.01, rel=0.7)


def test_the_interpreter_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    row = rows_of(work_of().group(("eager", "triton")))["triton"]
    assert "interpreter" in row.refused


def test_what_breaks_or_is_not_finite_fails_and_the_others_are_measured() -> None:
    def raising() -> Prepared:
        raise RuntimeError("out of\nmemory")

    def prepared(value: float) -> Prepared:
        return Prepared(
            run=lambda: [torch.full((2,), value)],
            check=lambda: Gate(green=True, error=0.0, where=""),
            ran=lambda: {},
            compiled=False,
        )

    cells = (
        Cell(path="eager", prepare=lambda: prepared(1.0)),
        Cell(path="broken", prepare=raising),
        Cell(path="nan", prepare=lambda: prepared(float("nan"))),
    )
    group = Group(kind="rule", what="delta", mode="forward", shape=SHAPE, cells=cells)
    rows = rows_of(group)
    assert rows["eager"].times is not None
    assert rows["broken"].said == "FAIL: RuntimeError: out of memory"
    assert rows["nan"].said == "FAIL: what it gives is not finite"
    assert rows["nan"].times is rows["broken"].times is None


def test_a_pair_that_a_lowering_refuses_is_a_row_with_its_reason() -> None:
    deep = RULES["titans"](anchor="token")
    rows = rows_of(work_of(deep).group(("recurrent", "eager")))
    assert rows["recurrent"].times is not None
    assert "no exact chunk form" in rows["eager"].refused


def test_a_row_has_a_time_only_behind_a_green_gate() -> None:
    green, red = (Gate(green=g, error=3.0, where="y") for g in (True, False))
    assert replace(ROW, gate=green, times=TIMES).said == ""
    assert replace(ROW, gate=red).said == "FAIL: y: 3 times the error allowed"
    assert replace(ROW, other="something else", times=TIMES).gate is None
    for wrong in ({"gate": red}, {"gate": None}, {"gate": green, "refused": "why not"}):
        with pytest.raises(ValueError, match="no green gate"):
            replace(ROW, times=TIMES, **wrong)


def test_decoding_is_timed_by_the_token() -> None:
    group = work_of(mode="decode").group(("eager",))
    assert (group.steps, group.tokens) == (STEPS, SHAPE.batch)
    assert Times.of([32.0]).per(16).median == 2.0
    with pytest.raises(ValueError, match="of models"):
        work_of(mode="train_step").cell("eager").prepare()
