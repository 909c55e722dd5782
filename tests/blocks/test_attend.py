"""Backends: which one runs and why, and that they compute the same."""

import importlib.util

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from blocks import attend_flex
from blocks.attend import choose_backend
from blocks.attend_sdpa import sdpa
from blocks.attention import CausalAttention
from blocks.masks import Sight, causal, segment_context, sliding_window
from blocks.spec import AttentionSpec

LIVE = torch.arange(200) % 7 > 0
PATTERNS = {
    "causal": causal(200),
    "causal behind a prefix": causal(200, prefix=3),
    "causal in a stream": causal(200, past=40, prefix=3),
    "causal with padding": causal(200, live=LIVE.expand(2, -1)),
    "window": sliding_window(200, 50, prefix=3),
    "window in a padded stream": sliding_window(
        200, 50, prefix=3, past=40, live=LIVE.expand(2, -1)
    ),
    "segment": segment_context(200, prefix=3, past=10),
    "segment with padding": segment_context(200, prefix=3, live=LIVE.expand(2, -1)),
}


def make_qkv(sight: Sight, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (sight.length - sight.past, 4), (sight.columns, 2), (sight.columns, 2)
    q, k, v = (torch.randn(2, *s, 16, generator=generator, dtype=dtype) for s in shapes)
    return q, k, v


def plainly(q: Tensor, k: Tensor, v: Tensor, sight: Sight) -> Tensor:
    """Softmax over the visible keys, in three lines of matrix products."""
    k, v = k.repeat_interleave(2, dim=2), v.repeat_interleave(2, dim=2)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    hidden = ~sight.dense(q.shape[1], q.device)
    return torch.einsum("bhts,bshd->bthd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("name", PATTERNS)
def test_sdpa_equals_a_plain_softmax(name: str) -> None:
    sight = PATTERNS[name]
    q, k, v = make_qkv(sight)
    assert (sdpa(q, k, v, sight, 0.0) - plainly(q, k, v, sight)).abs().max() < 1e-12


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_equals_sdpa(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # uncompiled: torch 2.13 compiles flex on a CPU to C++ that does not build
    monkeypatch.setattr(attend_flex, "compiled", lambda: (flex_attention, create_block_mask))
    sight = PATTERNS[name]
    q, k, v = make_qkv(sight, torch.float32)
    with torch.no_grad():
        y = attend_flex.flex(q, k, v, sight, 0.0)
    assert (y - sdpa(q, k, v, sight, 0.0)).abs().max() < 1e-5


def test_on_a_cpu_sdpa_runs_and_says_why() -> None:
    name, why = choose_backend(AttentionSpec(), "cpu")
    assert name == "sdpa"
    assert why == "not flex: it has no backward pass on cpu"
    assert choose_backend(AttentionSpec(backend="sdpa"), "cpu") == ("sdpa", "asked for by name")


def test_on_cuda_flex_runs_where_triton_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found("json"))
    assert choose_backend(AttentionSpec(), "cuda")[0] == "flex"
    name, why = choose_backend(AttentionSpec(backend="xformers"), "cuda")
    assert name == "xformers" and why.startswith("asked for by name; xformers in fp16 and bf16")
    name, why = choose_backend(AttentionSpec(backend="flex"), "cuda")
    assert name == "flex" and "shorter ones, as in decoding, go through sdpa" in why
    with pytest.raises(ValueError, match=r"xformers cannot run on cuda: it has no dropout"):
        choose_backend(AttentionSpec(backend="xformers", dropout=0.1), "cuda")
    name, why = choose_backend(AttentionSpec(dropout=0.1), "cuda")
    assert (name, why) == ("sdpa", "not flex: it has no dropout, and dropout = 0.1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    name, why = choose_backend(AttentionSpec(), "cuda")
    assert name == "sdpa" and "triton is not installed" in why
    with pytest.raises(ValueError, match=r"backend: xformers cannot run on cuda: .*not installed"):
        choose_backend(AttentionSpec(backend="xformers"), "cuda")


@pytest.mark.parametrize(
    ("backend", "reason"), [("flex", "no backward pass"), ("xformers", "no operators for")]
)
def test_a_backend_that_cannot_run_is_refused_where_it_is_called(backend: str, reason: str) -> None:
    spec = AttentionSpec(backend=backend)  # pyright: ignore[reportArgumentType]
    attention = CausalAttention(spec, 16, window_len=None, rope=True)  # it may move to a GPU
    with pytest.raises(ValueError, match=f"backend: {backend} cannot run on cpu: it has {reason}"):
        attention(torch.zeros(1, 3, 16), attention.start(1))


def test_dropout_acts_in_training_only() -> None:
    module = CausalAttention(AttentionSpec(dropout=0.5), 16, window_len=4, rope=True)
    assert module.project.dropout == 0.5
    assert module.eval().project.dropout == 0.0
