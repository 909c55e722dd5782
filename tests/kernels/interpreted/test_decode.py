"""Decoding kernels against `step`, token by token, and against `recurrent` after all of them."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import torch

from memory_rules import RULES, AbstractMemoryRule, Inputs, State, recurrent
from memory_rules.testing import make_case
from playground.compile.lowering.triton_decode import Decoding, decoder

LINEAR: dict[str, Any] = {"network": "linear", "plain": True, "anchor": "token"}
CHANNELS = {"decay": "channel", "decay_towards": "start", "read_at": "before"}


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that nobody wrote is NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def refuse(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> Any:
    raise AssertionError("a single token without gradients went to the scan")


def decoding(rule: AbstractMemoryRule) -> Decoding:
    known, why = decoder(rule)
    assert known is not None, why
    return Decoding(rule, known, refuse)


def make(kind: str, **more: Any) -> AbstractMemoryRule:
    names = {f.name for f in fields(RULES[kind])}
    return RULES[kind](**{"chunk_size": 5, "expand": 2.0} | more if "expand" in names else more)


def compare(
    rule: AbstractMemoryRule, tokens: int, dim: int, gates: Any, dtype: torch.dtype, limit: float
) -> None:
    """Every output and the last state, against `recurrent` in fp64."""
    case = make_case(rule, B=2, T=tokens, H=1, dim=dim, gates=gates)
    mask = torch.rand(2, tokens, generator=torch.Generator().manual_seed(1)) < 0.9
    case = case.masked(mask)
    given, scan = case.to(dtype), decoding(rule)
    with torch.no_grad():
        wanted, last = recurrent(rule, case.state(), case.inputs)
        state, inputs = given.state(), given.inputs
        for t in range(tokens):
            y, state = scan(rule, state, inputs[:, t : t + 1])
            error = (y[:, 0].double() - wanted[:, t]).abs().max()
            assert error <= limit * max(1.0, wanted.abs().max()), t
    assert torch.equal(state.position, last.position)
    for part in ("memory", "momentum", "anchor"):
        found, exact = getattr(state, part), getattr(last, part)
        assert set(found.keys()) == set(exact.keys())
        for name, leaf in found.items():
            assert (leaf.double() - exact[name]).abs().max() <= limit * exact[name].abs().max()


RULES_AB = {
    "delta": make("delta"),
    "gated_delta": make("gated_delta"),
    "longhorn": make("longhorn"),
    "retention": make("retention"),
    "gla": make("gla"),
    "titans": make("titans", **LINEAR),
    "titans-channels": make("titans", **LINEAR, **CHANNELS),
    "titans-residual": make("titans", **LINEAR | {"plain": False, "norm": "none"}),
    "titans-decayed": make("titans", **LINEAR, surprise_at="decayed_memory"),
    "titans-values": make("titans", **LINEAR, decay="value_channel", objective="dot"),
}


@pytest.mark.parametrize("name", RULES_AB)
@pytest.mark.parametrize("gates", ["random", "extreme"])
def test_linear_memories_step_as_the_rule_says(name: str, gates: str) -> None:
    compare(RULES_AB[name], 40, 5, gates, torch.float64, 1e-12)


DEEP = {"network": "mlp", "chunk_size": 5, "expand": 2.0}
RULES_C = {
    "deep": make("titans", **DEEP),
    "deep-channels": make("titans", **DEEP, **CHANNELS),
    "deep-values": make("titans", **DEEP, decay="value_channel", residual=False, norm="none"),
    "yaad": make("yaad", delta=0.7),
    "linear": make("titans", network="linear", chunk_size=5),
    "linear-plain": make("titans", network="linear", plain=True, objective="dot", momentum="none"),
}


@pytest.mark.parametrize("name", RULES_C)
@pytest.mark.parametrize("gates", ["random", "extreme"])
def test_memories_with_chunks_step_as_the_rule_says(name: str, gates: str) -> None:
    compare(RULES_C[name], 40, 5, gates, torch.float64, 1e-11)
