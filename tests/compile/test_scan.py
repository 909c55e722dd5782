"""`pg.scan` and the operator behind the chunk loop."""

from dataclasses import dataclass

import pytest
import torch

import playground as pg
from memory_rules import RULES, AbstractGradientRule
from memory_rules.dense import Dense
from memory_rules.objectives import l2
from memory_rules.testing import fresh_state, make_case, make_inputs
from playground.bench.gate import results
from playground.compile.lowering import chunked
from playground.compile.lowering.chunked import CHUNKED, LoopScan
from playground.compile.lowering.segments import Segment, segments


def test_auto_takes_the_best_form_that_does_not_refuse() -> None:
    rule = RULES["titans"](chunk_size=4)
    x, state = make_inputs(rule, T=11), fresh_state(rule)
    auto, _ = pg.scan(rule, state, x)
    chunked, _ = pg.scan(rule, state, x, lowering="chunked")
    oracle, _ = pg.scan(rule, state, x, lowering="recurrent")
    assert torch.equal(auto, chunked)
    torch.testing.assert_close(auto, oracle, rtol=1e-9, atol=1e-9)


def test_a_form_that_cannot_run_or_does_not_exist_is_an_error_with_reasons() -> None:
    rule = RULES["titans"](anchor="token")
    x, state = make_inputs(rule, T=3), fresh_state(rule)
    with pytest.raises(pg.LoweringError, match="several matrices"):
        pg.scan(rule, state, x, lowering="chunked")
    with pytest.raises(pg.LoweringError, match="none of triton, chunked, recurrent"):
        pg.scan(rule, state, x, lowering="fast")


@pytest.mark.parametrize(
    ("length", "position", "expected"),
    [
        (0, 0, []),
        (0, 3, []),
        (3, 0, [Segment("part", 0, 3)]),
        (4, 0, [Segment("whole", 0, 4, 1)]),
        (1, 3, [Segment("last", 0, 1)]),
        (2, 1, [Segment("part", 0, 2)]),
        (10, 6, [Segment("last", 0, 2), Segment("whole", 2, 4, 2)]),
        (13, 3, [Segment("last", 0, 1), Segment("whole", 1, 4, 3)]),
        (14, 3, [Segment("last", 0, 1), Segment("whole", 1, 4, 3), Segment("part", 13, 1)]),
    ],
)
def test_a_call_is_cut_at_the_ends_of_chunks(
    length: int, position: int, expected: list[Segment]
) -> None:
    assert segments(length, position, 4) == expected


def test_what_is_kept_for_backward_is_one_carry_per_chunk() -> None:
    rule = RULES["titans"](chunk_size=8)
    x, state = make_inputs(rule, T=64, dim=8), fresh_state(rule, dim=8)
    x = x.replace(q=x.q.requires_grad_())
    y, _ = CHUNKED.scan(rule, state, x)
    kept = sum(t.numel() for t in y.grad_fn.saved_tensors)  # pyright: ignore
    carry = sum(2 * w.numel() for w in state.memory.values())
    tokens = sum(t.numel() for t in (x.q, x.k, x.v))
    gates = sum(g.numel() for g in x.gates.values(True, True))
    assert carry * 64 // 8 < kept <= carry * (64 // 8 + 5) + tokens + gates + 2


def test_autocast_reaches_the_loop_forward_and_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES["titans"](chunk_size=4)
    case = make_case(rule, T=9, dim=8).to(torch.float32)
    exact = results(LoopScan(rule, compiled=False), case, True)
    monkeypatch.setattr(chunked, "loop_factors", lambda kind: torch.bfloat16)
    lowered = results(LoopScan(rule, compiled=False), case, True)
    assert exact.keys() == lowered.keys()
    for name in ("y", "memory.w1", "gradient to k", "gradient to weights.w2"):
        apart = (lowered[name] - exact[name]).norm() / exact[name].norm()
        assert 1e-4 < apart < 0.1, name


def test_the_operator_of_the_loop_is_well_formed() -> None:
    rule = RULES["titans"](chunk_size=4)
    scan = LoopScan(rule, compiled=False)
    x, state = make_inputs(rule, T=9), fresh_state(rule)
    wire = scan.wires[False]
    carry, opens, fixed = wire.state_lists(state)
    tensors = [*carry, *opens, *fixed, *wire.tokens_list(x, rule.rates(x), state), state.position]
    leaves = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in tensors]
    torch.library.opcheck(
        torch.ops.playground.chunk_loop,
        (leaves, scan.loops[False], True, None),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def leaky(scale: float) -> AbstractGradientRule:
    """A class made anew at every call, as by a cell that is run again."""

    @dataclass(frozen=True, kw_only=True)
    class Leaky(AbstractGradientRule):
        chunk_size: int = 4

        def shapes(self, dim: int) -> dict[str, tuple[int, int]]:
            return {"w1": (dim, dim)}

        def read(self, dense: Dense, x: torch.Tensor) -> torch.Tensor:
            return dense("w1", x)

        def objective(self, prediction: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return scale * l2(prediction, v)

    return Leaky()


def test_a_rule_that_is_defined_again_is_another_rule() -> None:
    for scale in (1.0, 3.0):
        rule = leaky(scale)
        x, state = make_inputs(rule, T=11), fresh_state(rule)
        found, _ = pg.scan(rule, state, x)
        oracle, _ = pg.scan(rule, state, x, lowering="recurrent")
        torch.testing.assert_close(found, oracle, rtol=1e-9, atol=1e-9)
