"""Peers: fla's operators are given our numbers in its terms, and others are labelled as others."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from memory_rules import RULES
from playground.bench import RuleWork, Shape, check_scan, measure_group
from playground.bench.peers import PEERS, peer_cells
from playground.bench.peers.fla import FAMILIES, FlaScan
from playground.bench.work import Mode

SHAPE = Shape(batch=1, length=20, heads=2, width=8)
needs_fla = pytest.mark.skipif(
    importlib.util.find_spec("fla") is None, reason="fla-core is not installed"
)
quiet = pytest.mark.filterwarnings("ignore")  # of the peer and what it imports


def naive_delta(
    q: Tensor, k: Tensor, v: Tensor, *, beta: Tensor, scale: float, initial_state: Tensor, **_: bool
) -> tuple[Tensor, Tensor]:
    from fla.ops.delta_rule.naive import delta_rule_recurrence

    heads_first = [t.transpose(1, 2) for t in (q * scale * q.shape[-1] ** 0.5, k, v, beta)]
    y, last = delta_rule_recurrence(*heads_first, initial_state)
    return y.transpose(1, 2), last


def naive_gated(q: Tensor, k: Tensor, v: Tensor, *, beta: Tensor, g: Tensor, **more: Any) -> Any:
    from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule

    return naive_recurrent_gated_delta_rule(q, k, v, beta, g, **more)


def naive_simple(q: Tensor, k: Tensor, v: Tensor, *, g: Tensor | None = None, **more: Any) -> Any:
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    g = torch.zeros_like(q[..., 0]) if g is None else g  # its reference always wants one
    return naive_recurrent_simple_gla(q, k, v, g, **more)


def naive_gla(q: Tensor, k: Tensor, v: Tensor, *, g: Tensor, scale: float, **more: Any) -> Any:
    from fla.ops.gla.naive import naive_recurrent_gla

    return naive_recurrent_gla(q * scale * q.shape[-1] ** 0.5, k, v, g, **more)


NAIVE: dict[str, Callable[..., Any]] = {
    "delta": naive_delta,
    "gated_delta": naive_gated,
    "linear_attention": naive_simple,
    "retention": naive_simple,
    "ssd": naive_simple,
    "gla": naive_gla,
}


@quiet
@needs_fla
@pytest.mark.parametrize("kind", FAMILIES)
def test_flas_references_compute_our_rules_from_the_numbers_they_are_given(kind: str) -> None:
    rule, family = RULES[kind](), FAMILIES[kind]
    scan = FlaScan(NAIVE[kind], family, family.decay)
    for scale in ("default", "strong"):
        gate = check_scan(rule, scan, SHAPE, scale=scale)
        assert gate.green, gate.reason


@quiet
@needs_fla
def test_a_wrong_number_would_be_seen() -> None:
    rule, family = RULES["gated_delta"](), FAMILIES["gated_delta"]

    def halved(*qkv: Tensor, beta: Tensor, **more: Any) -> Any:
        return naive_gated(*qkv, beta=beta / 2, **more)

    def linear(*qkv: Tensor, g: Tensor, **more: Any) -> Any:
        return naive_gated(*qkv, g=g.exp(), **more)

    for wrong in (halved, linear):
        assert not check_scan(rule, FlaScan(wrong, family, "g"), SHAPE).green


@quiet
@needs_fla
@pytest.mark.parametrize("kind", FAMILIES)
def test_flas_operators_have_the_arguments_that_they_are_given(kind: str) -> None:
    import inspect

    family = FAMILIES[kind]
    module = importlib.import_module(f"fla.ops.{family.module}")
    for name, decay in ((family.chunk, family.decay), (family.step, family.step_decay)):
        taken = inspect.signature(getattr(module, name)).parameters
        given = {"q", "k", "v", "scale", "initial_state", "output_final_state", decay} - {""}
        given |= {"beta"} if family.corrects else set()
        assert given <= set(taken)


def test_every_peer_that_cannot_run_here_says_why() -> None:
    work = RuleWork(rule=RULES["gated_delta"](), name="gated_delta", shape=SHAPE, mode="forward")
    said = {cell.path: cell.refused for cell in peer_cells(tuple(PEERS), work)}
    assert "fla" in said["peer: fla"]
    assert "cpu" in said["peer: xformers attention"]
    assert said["peer: sdpa attention"] == ""
    assert peer_cells(("fla",), replace(work, rule=RULES["moneta"]())) == ()


@pytest.mark.parametrize("mode", ["forward", "forward_backward", "decode"])
def test_attention_is_timed_as_other_mathematics(mode: Mode) -> None:
    work = RuleWork(rule=RULES["gla"](), name="gla", shape=SHAPE, mode=mode)
    group = work.group(("eager",), peer_cells(("sdpa",), work))
    rows = measure_group(group, device="cpu", repeats=1, warmup=0)
    row = rows[1]
    assert row.times is not None
    assert row.gate is None
    assert "softmax" in row.other
    assert row.speedup is not None


@quiet
@pytest.mark.skipif(
    importlib.util.find_spec("titans_pytorch") is None, reason="titans-pytorch is not installed"
)
def test_titans_pytorch_stands_beside_two_layer_titans_memories_alone() -> None:
    rule = RULES["titans"](chunk_size=4, expand=2.0)
    work = RuleWork(rule=rule, name="titans", shape=SHAPE, mode="forward")
    eager, compiled = peer_cells(("titans-pytorch",), work)
    assert (eager.refused, compiled.refused) == ("", "")
    y = eager.prepare().run()
    assert isinstance(y, Tensor)
    assert y.shape == (1, 20, 16)
    assert eager.other == compiled.other != ""
    deeper = replace(work, rule=RULES["titans"](chunk_size=4))
    assert all("expand" in cell.refused for cell in peer_cells(("titans-pytorch",), deeper))
    assert peer_cells(("titans-pytorch",), replace(work, rule=RULES["gla"]())) == ()
