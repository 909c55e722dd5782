"""The outer optimizer: its schedule, what decays, its state."""

import math

import pytest
import torch
from torch import nn

from blocks.spec import Lmm, MemorySpec
from memory_rules import RULES
from playground.compile import build
from playground.spec import ModelSpec, OptimSpec
from playground.train.optim import (
    applied_lr,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    scheduled_lr,
    set_lr,
)


def rates(**fields: object) -> list[float]:
    spec = OptimSpec(lr=2.0, **fields)  # pyright: ignore[reportArgumentType]
    return [scheduled_lr(spec, step, 20) for step in range(20)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.25, 5.0])
def test_warm_up_rises_linearly_to_the_peak(schedule: str, warmup: float):
    found = rates(schedule=schedule, warmup=warmup)
    assert found[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


def test_cosine_and_linear_end_at_their_minimum_and_never_rise():
    for schedule in ("cosine", "linear"):
        found = rates(schedule=schedule, warmup=5.0, min_lr=0.1)
        assert found[-1] == pytest.approx(0.2)
        assert found[4:] == sorted(found[4:], reverse=True)
    middle = rates(schedule="cosine", warmup=4.0, min_lr=0.0)[11]  # half of the 16 steps left
    assert middle == pytest.approx(2.0 * 0.5 * (1 + math.cos(math.pi / 2)))


def test_constant_stays_at_the_peak():
    assert rates(schedule="constant", warmup=0.0) == [2.0] * 20


def test_the_first_step_without_warm_up_is_below_the_peak_and_above_nothing():
    assert 0 < rates(schedule="cosine", warmup=0.0)[0] < 2.0


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def test_only_matrices_decay():
    net = model()
    optimizer = make_optimizer(OptimSpec(weight_decay=0.5), net)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(p) for p in net.parameters() if p.ndim == 2}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(net.parameters()))


@pytest.mark.parametrize("rule", ["gla", "omega", "ttt_mlp", "titans"])
def test_vectors_of_every_head_do_not_decay(rule: str):
    memory = MemorySpec(rule=RULES[rule](), heads=2)
    net = build(ModelSpec(vocab=8, dim=16, depth=1, block=Lmm(memory=memory)))
    optimizer = make_optimizer(OptimSpec(weight_decay=0.5), net)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    kept = {name for name, p in net.named_parameters() if id(p) not in decayed}
    named = {name for name, _ in net.named_parameters() if name.endswith((".bias", ".gain"))}
    assert named and named <= kept
    assert {"blocks.0.memory.project.q.weight", "embedding.weight"}.isdisjoint(kept)


def test_the_rate_that_is_set_is_the_rate_that_is_applied():
    optimizer = make_optimizer(OptimSpec(), model())
    set_lr(optimizer, 0.125)
    assert applied_lr(optimizer) == 0.125
    assert all(group["lr"] == 0.125 for group in optimizer.param_groups)


def test_an_optimizer_goes_on_bit_for_bit_from_its_tensors():
    def steps(net: nn.Module, optimizer: torch.optim.Optimizer, count: int, first: int) -> None:
        for step in range(first, first + count):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

    whole, half = model(), model()
    one, two = make_optimizer(OptimSpec(), whole), make_optimizer(OptimSpec(), half)
    steps(whole, one, 6, 0)
    steps(half, two, 3, 0)
    again = model()
    again.load_state_dict(half.state_dict())
    three = make_optimizer(OptimSpec(), again)
    load_optimizer_tensors(three, again, optimizer_tensors(two, half))
    steps(again, three, 3, 3)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
