"""Which calls of a body have a graph of their own, and which are replayed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import playground as pg
from blocks.model import Model
from playground.compile import Target, make_plan
from playground.compile.build import compile_bodies, construct
from playground.compile.compiled import CompiledBody
from tests.compile.test_plan import spec

TINY = ("dim=16", "depth=2", "vocab=32")
CUDA = Target(device="cuda", graphs=True)


def tokens(length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 32, (2, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """torch.compile without Inductor; how many graphs there are after each call."""
    compiled, seen = torch.compile, []

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        seen.append(len(graph.graph.nodes))
        return graph.forward

    def traced(function: Callable[..., Any], **given: Any) -> Callable[..., Any]:
        given.pop("options", None)  # of Inductor
        return compiled(function, **given | {"backend": counting})

    monkeypatch.setattr(torch, "compile", traced)
    torch.compiler.reset()
    return seen


@pytest.mark.compile
def test_the_third_length_makes_no_graph(graphs: list[int]) -> None:
    model, eager = pg.compile(spec("attention", *TINY)), pg.build(spec("attention", *TINY))
    counts = []
    for length in (12, 20, 33, 7, 64):
        y = model(tokens(length))
        assert (y - eager(tokens(length))).abs().max() < 1e-5
        counts.append(len(graphs))
    assert counts == [1, 2, 2, 2, 2]


@pytest.mark.compile
@pytest.mark.slow
def test_a_window_takes_its_own_length_then_a_shorter_and_a_longer_one() -> None:
    """The folds of the last one, counted in a symbol, once had no code for a backward pass."""
    torch.compiler.reset()
    words = ("dim=16", "depth=1", "vocab=32", "persistent_tokens=0", "block.window_len=32")
    words += ("block.feedforward.kind=none",)
    model, eager = pg.compile(spec("attention", *words)), pg.build(spec("attention", *words))
    for length in (32, 16, 64):
        found, wanted = gradients(model, tokens(length)), gradients(eager, tokens(length))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def gradients(model: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """Of all weights, for the log-sum-exp of the logits."""
    loss = model(x).logsumexp(-1).mean()
    return list(torch.autograd.grad(loss, [*model.parameters()], materialize_grads=True))


@pytest.mark.compile
@pytest.mark.slow
def test_a_memory_of_class_c_has_few_graphs_for_all_lengths(graphs: list[int]) -> None:
    """One for the first length; for others, one for each way a last, partial chunk is kept."""
    model = pg.compile(spec("titans_lmm", *TINY, "persistent_tokens=0"))
    for length in (64, 96, 100, 97, 33, 20):
        model(tokens(length))
    before = len(graphs)
    assert before <= 5
    for length in (130, 75, 197, 21, 48, 65):
        model(tokens(length))
    assert len(graphs) == before


LAGGING = ("block.memory.surprise_at=decayed_memory",)


@pytest.mark.compile
@pytest.mark.parametrize(
    ("name", "words", "counts"),
    [("linear_attention", (), [1, 2, 2, 2]), ("momentum_delta", LAGGING, [1, 2, 3, 3])],
)
def test_a_loop_over_chunks_lets_lengths_share_a_graph(
    name: str, words: tuple[str, ...], counts: list[int], graphs: list[int]
) -> None:
    """Where all chunks are padded and taken at once they have one each, and the plan says so."""
    model = pg.compile(spec(name, *TINY, *words, "persistent_tokens=0"))
    found = []
    for length in (5, 9, 7, 9):
        model(tokens(length))
        found.append(len(graphs))
    assert found == counts
    why = model.plan.node("blocks.0.memory").why
    assert any("a graph per length" in reason for reason in why) == (counts[-1] > 2)


# replays; torch.compile is replaced by what a CUDA graph does to its results


class Recorded:
    """A method whose results lie, shape by shape, in tensors that the next call overwrites."""

    made: list["Recorded"]

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method, self.calls = method, 0
        self.pool: dict[object, list[Tensor]] = {}
        Recorded.made.append(self)

    def __call__(self, x: Tensor, state: Any, mask: Tensor | None) -> tuple[Tensor, Any]:
        assert mask is None
        self.calls += 1
        y, after = self.method(x, state, mask)
        if torch.is_grad_enabled():
            return y, after
        after = after.clone()
        found = [y, *(t for t in after.values(True, True) if isinstance(t, Tensor))]
        pool = self.pool.setdefault(x.shape, [torch.empty_like(t) for t in found])
        for buffer, t in zip(pool, found, strict=True):
            buffer.copy_(t)
        for t, buffer in zip(found[1:], pool[1:], strict=True):
            t.set_(buffer)  # the state's tensors are the pool's
        return pool[0], after


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    def stand_in(method: Callable[..., Any], **given: Any) -> Any:
        return Recorded(method) if given.get("mode") == "reduce-overhead" else method

    Recorded.made = []
    monkeypatch.setattr(torch, "compile", stand_in)
    return Recorded.made


def replayed(name: str, *words: str) -> Model:
    loaded = spec(name, *TINY, *words)
    plan = make_plan(loaded, CUDA)
    nodes = tuple(replace(node, scan_compiled=False) for node in plan.nodes)
    model = construct(replace(plan, nodes=nodes), seed=0)
    compile_bodies(model, plan)
    return model


SLIDING = ("block.window_len=6",)


@pytest.mark.parametrize(
    ("name", "words", "calls"),
    [("linear_attention", (), 10), ("gated_delta", (), 10), ("attention", SLIDING, 5)],
    ids=["memory", "delta", "window"],
)
def test_a_replayed_stream_says_what_an_eager_one_says(
    name: str, words: tuple[str, ...], calls: int, recorded: list[Recorded]
) -> None:
    """Single tokens are replayed once their state is steady; no result is overwritten."""
    model, eager = replayed(name, *words), pg.build(spec(name, *TINY, *words))
    x, kept = tokens(10), []
    with torch.no_grad():
        states = [model.start(2), eager.start(2)]
        for i in range(10):
            found = []
            for j, each in enumerate((model, eager)):
                y, states[j] = each(x[:, i : i + 1], states[j])
                found.append(y)
            kept.append(states[0])
            assert torch.equal(*found)
        again, _ = model(x[:, 9:], kept[8])  # an earlier state is still what it was
        assert torch.equal(again, found[0])
    assert [r.calls for r in recorded] == [calls] * 2


def test_training_at_the_first_length_is_replayed_and_no_other(recorded: list[Recorded]) -> None:
    model = replayed("linear_attention")
    for length in (12, 12, 20, 12):
        y = model(tokens(length))
        assert isinstance(y, Tensor)
        y.square().sum().backward()
    model(tokens(12), mask=torch.ones(2, 12, dtype=torch.bool))
    assert [r.calls for r in recorded] == [3, 3]


def test_nothing_is_recorded_where_it_was_not_asked_for(recorded: list[Recorded]) -> None:
    body = CompiledBody(lambda x, state, mask: (x, state), None)
    assert body.replay is None and not recorded


def test_a_plan_says_what_is_replayed_and_why_not() -> None:
    plan = make_plan(spec("linear_attention"), CUDA)
    node = plan.node("blocks.0.memory")
    assert node.choice == "chunked compiled replayed"
    assert any("replayed: the first length" in why for why in node.why)
    mixed = spec("hybrid", "layers.M.memory.kind=titans")
    plan = make_plan(mixed, CUDA)
    assert {n.replayed for n in plan.of_kind("attention")} == {True}
    assert not any(n.replayed for n in plan.of_kind("memory"))
    assert "not replayed: class C asks the host" in "; ".join(plan.of_kind("memory")[0].why)
    assert not any(n.replayed for n in make_plan(mixed, Target(device="cuda")).nodes)


def test_graphs_are_refused_where_none_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pg.LoweringError, match=r"compile_mode.*(\n.*)*needs? CUDA, target is cpu"):
        pg.compile(spec("linear_attention", *TINY), mode="graphs")
    with pytest.raises(pg.LoweringError, match="class C asks the host"):
        make_plan(spec("titans_lmm"), CUDA)
    with pytest.raises(pg.LoweringError, match="it is not compiled"):
        make_plan(spec("linear_attention"), Target(device="cuda", compile=False, graphs=True))
