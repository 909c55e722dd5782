"""Operators and what is around them are traced into one graph, forward and backward."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.utils._pytree import tree_leaves

from kernels.channel_filter import channel_filter
from kernels.chunk_scan import chunk_scan
from kernels.decode import decode
from kernels.decode_deep import decode_deep
from kernels.deep_chunk import deep_chunk
from kernels.gate_filter import gate_filter
from kernels.short_conv import short_conv
from kernels.unit_solve import unit_solve
from kernels.weighted_scan import weighted_scan
from memory_rules.testing.inputs import make_case
from playground.compile.lowering.triton import TRITON
from tests.kernels.interpreted import (
    test_channel_filter,
    test_chunk_scan,
    test_decode,
    test_deep_chunk,
    test_gate_filter,
    test_short_conv,
    test_token_scans,
    test_unit_solve,
    test_weighted_scan,
)
from tests.memory_rules.test_laws import small

Called = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
FORWARD_ONLY = ("decode_token", "decode_deep")


def _cases() -> Iterator[tuple[str, Called]]:
    """Every operator at a small size, by the name torch knows it by."""
    tokens = test_token_scans.given(1, 3, 1, 4, 4, gated=True, least=0.5)
    yield "decay_scan", (test_token_scans.ours, tuple(tokens), {"rule": "decay"})
    yield "delta_scan", (test_token_scans.ours, tuple(tokens), {"rule": "decayed"})
    size = (2, 1, 3, 4, 4)
    given = test_chunk_scan.given(size, momentum=True, solved=True)
    yield "chunk_scan", (chunk_scan, given, {})
    given = test_weighted_scan.given(size, momentum=True, solved=True)
    yield "weighted_scan", (weighted_scan, given, {})
    given = test_deep_chunk.given(size, momentum=True, deep=True)
    yield "deep_chunk", (deep_chunk, given, {"residual": True, "norm": True})
    system = (t.requires_grad_() for t in test_unit_solve.given((1,), 3, 2))
    yield "unit_solve", (unit_solve, tuple(system), {})
    gates = test_gate_filter.given((1, 3), momentum=True, masked=True)
    yield "gate_filter", (gate_filter, tuple(gates), {})
    channels = test_channel_filter.given((1,), 3, 4, momentum=True, masked=True)
    yield "channel_filter", (channel_filter, channels, {})
    tensors, mask = test_short_conv.given(3, 2, 4, masked=True)
    how = {"heads": 2, "silu": True, "unit": True}
    yield "short_conv", (short_conv, (*tensors, mask), how)
    (memory, momentum), token = test_decode.tokens(deep=False)
    yield "decode_token", (decode, (memory, momentum, token), {})
    yield "decode_deep", (decode_deep, test_decode.tokens(deep=True), {"chunk_size": 4})


OPERATORS = dict(_cases())


def _told(called: Called, run: Callable[..., Any], learns: bool) -> list[Tensor]:
    """Outputs and, where there are any, gradients of their sum of squares."""
    _, given, more = called
    found = [t for t in tree_leaves(run(*given, **more)) if isinstance(t, Tensor)]
    if not learns:
        return found
    into = [t for t in tree_leaves(given) if isinstance(t, Tensor) and t.requires_grad]
    loss = sum((t.square().sum() for t in found if t.requires_grad), torch.zeros(()))
    return [*found, *torch.autograd.grad(loss, into, materialize_grads=True)]


def test_every_operator_has_a_case() -> None:
    files = Path(chunk_scan.__code__.co_filename).parent.glob("*.py")
    found = {
        name for file in files for name in re.findall(r'"playground::(\w+)"', file.read_text())
    }
    assert {name for name in found if not name.endswith("_backward")} == OPERATORS.keys()


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_breaks_no_graph(name: str) -> None:
    called, learns, graphs = OPERATORS[name], name not in FORWARD_ONLY, list[list[str]]()

    def kept(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=kept)
    torch.compiler.reset()
    compiled = torch.compile(called[0], fullgraph=True, backend=backend)
    found = _told(called, compiled, learns)
    wanted = _told(called, called[0], learns)
    whole = ("forward", "backward") if learns else ("forward",)
    assert len(graphs) == len(whole)
    for graph, half in zip(graphs, whole, strict=True):
        operator = name + ("_backward" if half == "backward" else "")
        assert any(f"playground.{operator}.default" in target for target in graph), (half, graph)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", ["token", "channel"])
def test_gates_and_systems_break_no_graph(decay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = small("titans", network="linear", plain=True, anchor="token", decay=decay)
    case = make_case(rule, B=1, T=5, H=1)
    graphs = []

    def count(graph: Any, inputs: Any) -> Any:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **how: compiled(f, backend=count, **how))
    y, state = TRITON.bind(rule, True)(rule, case.state(), case.inputs)
    wanted, last = TRITON.bind(rule, False)(rule, case.state(), case.inputs)
    assert len(graphs) == 1
    assert any("unit_solve" in target for target in graphs[0])
    table = "gate_filter" if decay == "token" else "channel_filter"
    assert any(table in target for target in graphs[0])
    assert torch.allclose(y, wanted, rtol=0, atol=1e-12)
    assert torch.allclose(state.memory["w"], last.memory["w"], rtol=0, atol=1e-12)
