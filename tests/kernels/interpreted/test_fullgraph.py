"""What comes before the scan of chunks is traced into one graph, kernels and all."""

from typing import Any

import pytest
import torch

from memory_rules.testing.inputs import make_case
from playground.compile.lowering.triton import TRITON
from tests.memory_rules.test_laws import small


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
