"""The memory layer: reading without writing, persistent tokens, padding, diagnostics."""

from typing import Any

import pytest
import torch
from torch import Tensor

from blocks import MemoryLayer, freeze_memory, initialise
from memory_rules import RULES, Inputs, State, recurrent
from memory_rules.dense import Plain
from tests.blocks.small import DIM, HEADS, make_block, make_tokens, memory_spec


def make_layer(rule: str = "titans", **fields: Any) -> MemoryLayer:
    cls = RULES[rule]
    chunk = {"chunk_size": 4} if "chunk_size" in cls.__dataclass_fields__ else {}
    layer = MemoryLayer(memory_spec(cls(**chunk), **fields), DIM)
    initialise(layer, 0)
    return layer.double()


def memory_of(state: Any) -> dict[str, Tensor]:
    return dict(state.rule.memory.items())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_streams_in_a_layer(rule: str) -> None:
    layer = make_layer(rule)
    x = make_tokens(11)
    with torch.no_grad():
        whole, _ = layer(x, layer.start(2))
        first, state = layer(x[:, :6], layer.start(2))
        second, _ = layer(x[:, 6:], state)
    assert (torch.cat([first, second], 1) - whole).abs().max() < 1e-9


@pytest.mark.parametrize("gate", ["norm_sigmoid", "sigmoid", "product"])
@pytest.mark.parametrize("activation", ["silu", "none"])
@pytest.mark.parametrize("qk_norm", ["l2", "none"])
@pytest.mark.parametrize("conv", [0, 1, 4])
def test_every_choice_of_the_layer_runs(
    gate: str, activation: str, qk_norm: str, conv: int
) -> None:
    layer = make_layer("delta", gate=gate, activation=activation, qk_norm=qk_norm, conv=conv)
    y, state = layer(make_tokens(3), layer.start(2))
    assert y.shape == (2, 3, DIM) and torch.isfinite(y).all()
    assert sorted(state.conv.keys()) == (["k", "q", "v"] if conv else [])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads: 2 does not divide dim = 9"):
        MemoryLayer(memory_spec(), 9)


def test_the_scan_is_the_one_the_layer_was_given() -> None:
    calls = []

    def scan(rule: Any, state: State, inputs: Inputs) -> tuple[Tensor, State]:
        calls.append(inputs.batch_size)
        return recurrent(rule, state, inputs)

    layer = MemoryLayer(memory_spec(), DIM, scan=scan)
    initialise(layer, 0)
    layer(make_tokens(3).float(), layer.start(2))
    assert calls == [(2, 3)]


# reading


def test_retrieving_reads_what_a_frozen_layer_says_and_writes_nothing() -> None:
    layer = make_layer()
    state = layer(make_tokens(6), layer.start(2))[1]
    x = make_tokens(5, seed=2)
    y, after = layer.retrieve(x, state)
    layer.frozen = True
    z, frozen = layer(x, state)
    assert torch.equal(y, z)
    for name, w in memory_of(state).items():
        assert torch.equal(memory_of(after)[name], w)
        assert torch.equal(memory_of(frozen)[name], w)
    assert torch.equal(frozen.rule.position, state.rule.position)


def test_a_frozen_layer_keeps_its_convolutions_going() -> None:
    layer = make_layer()
    x = make_tokens(5)
    start = layer.start(2)
    layer.frozen = True
    frozen, written = layer(x, start)[1], None
    layer.frozen = False
    written = layer(x, start)[1]
    for name, cache in written.conv.items():
        assert torch.equal(frozen.conv[name], cache)


@pytest.mark.parametrize("kind", ["lmm", "mac", "mag", "mal"])
def test_freezing_stops_every_write_of_a_model(kind: str) -> None:
    block: Any = make_block(kind)
    freeze_memory(block)
    start = block.start(1)
    state = block(make_tokens(11, batch=1), start)[1]
    before, after = (s.rule if kind == "lmm" else s.memory.rule for s in (start, state))
    for name, w in before.memory.items():
        assert torch.equal(after.memory[name], w)
    freeze_memory(block, False)
    state = block(make_tokens(11, batch=1), start)[1]
    after = state.rule if kind == "lmm" else state.memory.rule
    assert not torch.equal(after.memory["w1"], before.memory["w1"])


# persistent tokens


def test_persistent_tokens_are_written_once_and_begin_a_new_chunk() -> None:
    layer = make_layer()
    prefix = make_tokens(3, batch=1)[0]
    y, state = layer.warmed(prefix, 2)
    z, whole = layer(prefix[None], layer.start(1))
    assert torch.equal(y, z[0])
    assert state.batch_size == (2,) and (state.rule.position == 0).all()
    for name, w in memory_of(whole).items():
        assert torch.equal(memory_of(state)[name][1:], w)
        assert torch.equal(state.rule.anchor[name][1:], w)
    for name, cache in whole.conv.items():
        assert torch.equal(state.conv[name][:1], cache)


def test_no_persistent_tokens_is_the_plain_start() -> None:
    layer = make_layer()
    _, state = layer.warmed(make_tokens(0, batch=1)[0], 2)
    for name, w in memory_of(layer.start(2)).items():
        assert torch.equal(memory_of(state)[name], w)


# padding


def test_padding_anywhere_is_as_if_it_were_not_there() -> None:
    layer = make_layer("gated_delta")  # no chunks, so that slots do not matter
    x = make_tokens(9, batch=1)
    mask = torch.tensor([[False, True, True, False, False, True, True, True, False]])
    _, state = layer.warmed(make_tokens(3, batch=1, seed=5)[0], 1)
    y, padded = layer(x, state, mask)
    z, alone = layer(x[mask][None], state)
    assert (y[mask] - z[0]).abs().max() < 1e-12
    for name, cache in alone.conv.items():
        assert (padded.conv[name] - cache).abs().max() < 1e-12
    for name, w in memory_of(alone).items():
        assert (memory_of(padded)[name] - w).abs().max() < 1e-12


# diagnostics


def test_nothing_is_observed_unless_asked() -> None:
    layer = make_layer()
    layer(make_tokens(3), layer.start(2))
    assert layer.observe() == {}


def test_observed_means_are_those_of_the_call() -> None:
    layer = make_layer()
    layer.observing = True
    x, state = make_tokens(6), layer.start(2)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, :2] = False
    _, after = layer(x, state, mask)
    inputs, _ = layer.inputs(x, state.conv, mask)
    seen = layer.observe()
    assert sorted(seen) == [
        "decay", "lr", "memory_norm", "momentum", "surprise_norm", "surprise_norm_after",
    ]  # fmt: skip
    gates = inputs.gates["decay"]
    expected = (gates["w1"][mask].mean() + gates["w2"][mask].mean()) / 2
    assert seen["decay"] == pytest.approx(float(expected.detach()))
    norms = torch.stack([w.square().sum((-2, -1)) for w in after.rule.memory.values()])
    assert seen["memory_norm"] == pytest.approx(float(norms.detach().sum(0).sqrt().mean()))
    assert seen["surprise_norm"] == pytest.approx(mean_surprise(layer, state.rule, inputs))
    assert seen["surprise_norm_after"] == pytest.approx(mean_surprise(layer, after.rule, inputs))


def mean_surprise(layer: MemoryLayer, state: State, inputs: Inputs) -> float:
    """Norm of each live token's gradient, one token and head at a time."""
    norms, rule = [], layer.rule
    assert inputs.mask is not None
    for b, t in inputs.mask.nonzero().tolist():
        for h in range(HEADS):
            weights = {n: w[b, h].detach().requires_grad_(True) for n, w in state.memory.items()}
            error = rule.read(Plain(weights, {}), inputs.k[b, t, h][None])  # type: ignore[attr-defined]
            loss = (error[0] - inputs.v[b, t, h].detach()).square().sum()
            gradient = torch.autograd.grad(loss, list(weights.values()))
            norms.append(sum(g.square().sum() for g in gradient) ** 0.5)  # type: ignore[operator]
    return float(torch.stack(norms).mean())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_can_be_observed(rule: str) -> None:
    layer = make_layer(rule)
    layer.observing = True
    layer(make_tokens(3), layer.start(2))
    assert all(value == value for value in layer.observe().values())
    assert layer.observe()["memory_norm"] > 0
