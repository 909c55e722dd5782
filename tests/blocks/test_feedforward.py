"""The token-wise network and the norms, against their formulas."""

import pytest
import torch
import torch.nn.functional as F

from blocks.feedforward import FeedForward, FeedForwardResidual, hidden_width
from blocks.init import initialise
from blocks.norms import LayerNorm, RMSNorm, make_norm
from blocks.spec import FeedForwardSpec

DIM = 24


def make_x() -> torch.Tensor:
    return torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))


def test_swiglu_and_gelu_are_their_formulas() -> None:
    x = make_x()
    swiglu, gelu = (FeedForward(FeedForwardSpec(kind=k), DIM) for k in ("swiglu", "gelu"))
    initialise(swiglu, 0)
    initialise(gelu, 0)
    expected = swiglu.down(F.silu(swiglu.gate(x)) * swiglu.up(x))
    assert torch.equal(swiglu(x), expected)
    assert torch.equal(gelu(x), gelu.down(F.gelu(gelu.up(x))))


def test_none_adds_nothing_and_has_no_parameters() -> None:
    x, spec = make_x(), FeedForwardSpec(kind="none")
    assert not FeedForward(spec, DIM)(x).any()
    residual = FeedForwardResidual(spec, DIM)
    assert residual(x) is x and not list(residual.parameters())


@pytest.mark.parametrize("expand", [0.01, 1.0, 2.6667, 4.0])
def test_the_hidden_width_is_a_multiple_of_8_near_what_was_asked(expand: float) -> None:
    hidden = hidden_width(FeedForwardSpec(expand=expand), 256)
    assert hidden % 8 == 0 and hidden >= 8
    assert abs(hidden - expand * 256) <= 8


def test_dropout_acts_in_training_only() -> None:
    x, module = make_x(), FeedForward(FeedForwardSpec(dropout=0.5), DIM)
    initialise(module, 0)
    module.eval()
    assert torch.equal(module(x), module(x))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert (module.train()(x) == 0).float().mean() > 0.3


def test_norms_are_their_formulas() -> None:
    x = make_x().double()
    rms = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(make_norm("rms", DIM).double()(x), rms)
    assert torch.allclose(make_norm("layer", DIM).double()(x), F.layer_norm(x, (DIM,), eps=1e-6))


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_norms_keep_the_precision_of_their_input(norm: type[RMSNorm] | type[LayerNorm]) -> None:
    assert norm(DIM)(make_x().bfloat16()).dtype == torch.bfloat16
