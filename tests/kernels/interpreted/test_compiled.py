"""Models with kernels in them under torch.compile: one graph per body, and the same numbers.

Dynamo alone, without Inductor: it sees the operators as opaque calls and breaks at none of them.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.utils import counters

import playground as pg
from tests.compile.test_plan import spec

TINY = ("dim=8", "depth=1", "vocab=16", "block.memory.heads=2", "persistent_tokens=0")


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.compile without Inductor; what is called in the graphs."""
    compiled, seen = torch.compile, []

    def keeping(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    own: dict[str, Any] = {"backend": keeping, "options": None}  # options are Inductor's
    monkeypatch.setattr(torch, "compile", lambda f, **given: compiled(f, **given | own))
    torch.compiler.reset()
    counters.clear()
    return seen


def outcome(model: Any, tokens: Tensor) -> list[Tensor]:
    y = model(tokens)
    F.cross_entropy(y[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    return [y.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize(
    "name", ["gated_delta", pytest.param("linear_attention", marks=pytest.mark.slow)]
)
def test_kernels_break_no_graph(name: str, operators: list[str]) -> None:
    loaded = spec(name, *TINY)
    tokens = torch.randint(0, 16, (1, 10), generator=torch.Generator().manual_seed(0))
    model = pg.compile(loaded, lowering="triton")
    assert {n.choice for n in model.plan.of_kind("memory")} == {"triton compiled"}
    found = outcome(model, tokens)
    assert any("chunk_scan" in name for name in operators)
    assert not counters["graph_break"]
    wanted = outcome(pg.build(loaded, lowering="recurrent"), tokens)
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() <= 1e-4 * max(1.0, other.abs().max().item())
