"""Parts merged by log-sum-exp are plain softmax attention, with all gradients."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from blocks import xformers_parts
from blocks.attend_parts import Plain, _attend, attend_parts, merge
from blocks.attend_xformers import xformers
from blocks.attention import CausalAttention
from blocks.masks import Part, Sight, causal, segment_context, sliding_window
from blocks.spec import AttentionSpec
from blocks.xformers_parts import Xformers
from tests.blocks.patterns import PATTERNS, WHOLE, rows_of

LONG = sliding_window(70, 16, prefix=5)


def make_qkv(
    sight: Sight, *, groups: int = 3, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (rows_of(sight), 3), (sight.columns, groups), (sight.columns, groups)
    made = [torch.randn(2, *s, 8, generator=generator, dtype=torch.float64) for s in shapes]
    return [(scale * t).to(dtype).requires_grad_() for t in made]


def plainly(q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
    """Softmax over all visible keys at once."""
    share = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(share, dim=2), v.repeat_interleave(share, dim=2)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    hidden = ~sight.dense(q.shape[1], q.device)
    return torch.einsum("bhts,bshd->bthd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


def with_gradients(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [y.detach(), *torch.autograd.grad((y * weights.to(y.dtype)).sum(), inputs)]


@pytest.mark.parametrize("scale", [1.0, 5.0], ids=["mild", "sharp"])
@pytest.mark.parametrize("name", [*WHOLE, "long window"])
def test_outputs_and_gradients_equal_a_plain_softmax(name: str, scale: float) -> None:
    sight = WHOLE.get(name, LONG)
    inputs = make_qkv(sight, scale=scale)
    found = with_gradients(attend_parts(inputs[0], *inputs[1:], sight.parts()), inputs)
    wanted = with_gradients(plainly(*inputs, sight), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert torch.isfinite(one).all()
        assert (one - other).abs().max() < 1e-12 * max(1.0, other.abs().max().item())


def test_a_part_whose_scores_are_far_below_the_others_does_no_harm() -> None:
    generator = torch.Generator().manual_seed(0)
    outs = [torch.randn(1, 3, 2, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    lses = [torch.full((1, 2, 3), at, dtype=torch.float64) for at in (900.0, -900.0, -torch.inf)]
    out, lse = merge(list(zip(outs, lses, strict=True)))
    assert torch.equal(out, outs[0]) and torch.equal(lse, lses[0])


def test_the_operator_is_one_for_torch() -> None:
    for name in ("causal", "window in a stream", "segment"):
        inputs = make_qkv(WHOLE[name])
        flat = [n for part in WHOLE[name].parts() for n in part]
        torch.library.opcheck(_attend, (*inputs, flat))


def test_no_graph_is_broken_and_the_numbers_are_the_same() -> None:
    sight = WHOLE["segment"]
    inputs = make_qkv(sight)

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend_parts(q, k, v, sight.parts()) + 1.0

    torch.compiler.reset()
    body = torch.compile(run, fullgraph=True, backend="aot_eager")
    found, wanted = (with_gradients(f(*inputs), inputs) for f in (body, run))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_replicas_are_more_sequences() -> None:
    sight = WHOLE["window in a stream"]
    q, k, v = make_qkv(sight)

    def every() -> list[Tensor]:
        return [torch.stack([t, 2 * t, -t]) for t in (q, k)]

    def run(q: Tensor, k: Tensor) -> Tensor:
        return attend_parts(q, k, v, sight.parts())

    found = with_gradients(torch.func.vmap(run)(*every()), [q, k, v])
    alone = torch.stack([run(one, other) for one, other in zip(*every(), strict=True)])
    for one, other in zip(found, with_gradients(alone, [q, k, v]), strict=True):
        assert (one - other).abs().max() < 1e-12


# xformers' own functions have no CPU form: a stand-in says what it was asked, and answers plainly


class StandIn:
    """`fmha` with the calls that are made of it; a mask is the reach it was made from."""

    def __init__(self) -> None:
        self.reaches: list[int] = []

    def memory_efficient_attention_partial(
        self, q: Tensor, k: Tensor, v: Tensor, attn_bias: Any
    ) -> tuple[Tensor, Tensor]:
        self.reaches.append(attn_bias)
        out, lse = Plain().forward(q, k, v, attn_bias)
        return out, torch.nn.functional.pad(lse, (0, 5), value=torch.nan)  # padded, as in some

    def memory_efficient_attention_backward(
        self,
        grad: Tensor,
        output: Tensor,
        lse: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_bias: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return Plain().backward(grad, output, lse, query, key, value, attn_bias)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setitem(sys.modules, "xformers", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "xformers.ops", SimpleNamespace(fmha=made))
    monkeypatch.setattr(xformers_parts, "bias", lambda reach: reach)
    monkeypatch.setattr("blocks.attend_parts.Plain", Xformers)
    return made


@pytest.mark.parametrize("name", WHOLE)
def test_xformers_is_asked_for_each_part_and_merged(name: str, stand_in: StandIn) -> None:
    sight = WHOLE[name]
    inputs = make_qkv(sight)
    found = with_gradients(attend_parts(inputs[0], *inputs[1:], sight.parts()), inputs)
    for one, other in zip(found, with_gradients(plainly(*inputs, sight), inputs), strict=True):
        assert (one - other).abs().max() < 1e-12
    assert stand_in.reaches == [reach for _, _, reach in sight.parts()]


@pytest.mark.parametrize("name", PATTERNS)
def test_half_precision_without_padding_goes_to_xformers(name: str, stand_in: StandIn) -> None:
    sight = PATTERNS[name]
    q, k, v = make_qkv(sight, groups=1, dtype=torch.bfloat16)
    y = xformers(q, k, v, sight, 0.0)
    assert bool(stand_in.reaches) == (sight.live is None)
    assert y.dtype == torch.bfloat16
    wanted = plainly(q.double(), k.double(), v.double(), sight)
    assert (y.double() - wanted).abs().max() < 2e-2


def test_autocast_decides_the_type(stand_in: StandIn) -> None:
    sight = WHOLE["segment"]
    q, k, v = make_qkv(sight, dtype=torch.float32)
    assert xformers(q, k, v, sight, 0.0).dtype == torch.float32
    assert not stand_in.reaches
    with torch.autocast("cpu", torch.bfloat16):
        assert xformers(q, k, v.bfloat16(), sight, 0.0).dtype == torch.bfloat16
    assert stand_in.reaches == [0, -1, -1]


def test_a_window_goes_to_xformers_without_folds(stand_in: StandIn) -> None:
    spec = AttentionSpec(heads=2, kv_heads=1)
    module = CausalAttention(spec, 16, window_len=4, rope=True).bfloat16()
    x = torch.randn(2, 19, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    prefix = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)).bfloat16()
    wanted, _ = module(x, module.start(2, prefix))
    module.project.backend, module.project.attend = "xformers", xformers
    found, _ = module(x, module.start(2, prefix))
    assert stand_in.reaches == [0, 4]
    assert (found - wanted).abs().max() < 2e-2


def test_a_width_its_kernels_do_not_know_is_refused() -> None:
    q, k, v = (torch.zeros(1, 4, 2, 12, dtype=torch.bfloat16) for _ in range(3))
    with pytest.raises(ValueError, match="multiple of 8, not 12"):
        xformers(q, k, v, causal(4), 0.0)


def test_a_segment_is_a_prefix_and_two_triangles() -> None:
    found = segment_context(64, prefix=4).parts()
    assert found == (Part(0, 4, 0), Part(4, 68, -1), Part(68, 132, -1))
    assert sliding_window(64, 8, prefix=4).parts() == (Part(0, 4, 0), Part(4, 68, 8))


@pytest.mark.parametrize("name", WHOLE)
def test_on_cuda_one_operator_is_called_and_no_kernel_is_needed_to_trace_it(name: str) -> None:
    """Tensors that hold nothing stand for those on a GPU."""
    sight = WHOLE[name]
    with FakeTensorMode():
        q = torch.empty(2, rows_of(sight), 4, 8, device="cuda", dtype=torch.bfloat16)
        k = torch.empty(2, sight.columns, 2, 8, device="cuda", dtype=torch.bfloat16)
        graph = make_fx(lambda q, k, v: xformers(q, k, v, sight, 0.0))(q, k, k)
        y = xformers(q, k, k, sight, 0.0)
    assert (y.shape, y.dtype, y.device.type) == (q.shape, q.dtype, "cuda")
    called = [node.target for node in graph.graph.nodes]
    assert called.count(torch.ops.playground.attend_parts.default) == 1
