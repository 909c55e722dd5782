"""A model of series: patches, normalisation that is undone, the linear map beside the blocks."""

from dataclasses import replace

import pytest
import torch

from blocks.block import Setting
from blocks.identity_block import IdentityBlock
from blocks.init import initialise
from blocks.lmm import LmmBlock
from blocks.reads import Series
from blocks.series import SeriesModel
from blocks.spec import FeedForwardSpec, Identity, Lmm, MemorySpec
from memory_rules import RULES

DIM = 16
SPEC = Series(lookback=20, horizon=6, patch=8, stride=4)


def make_model(spec: Series = SPEC, *, memory: bool = True) -> SeriesModel:
    setting, gelu = Setting(dim=DIM, persistent_tokens=1), FeedForwardSpec(kind="gelu")
    rule = MemorySpec(rule=RULES["titans"](chunk_size=2, expand=1.0), heads=2, conv=2)
    block = LmmBlock(Lmm(memory=rule, feedforward=gelu), setting)
    model = SeriesModel([block if memory else IdentityBlock(Identity(), setting)], spec, dim=DIM)
    initialise(model, 0)
    return model.double().eval()


def windows(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 20, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize(
    ("lookback", "patch", "stride", "patches"),
    [(20, 8, 4, 4), (20, 8, 8, 3), (21, 8, 4, 5), (20, 1, 1, 20), (20, 20, 3, 1), (8, 8, 4, 1)],
)
def test_the_patches_cover_the_window_and_the_last_ends_with_it(lookback, patch, stride, patches):
    spec = Series(lookback=lookback, horizon=2, patch=patch, stride=stride, normalise="none")
    assert spec.patches == patches
    model = make_model(spec)
    x = torch.arange(float(lookback))[None].double()
    with torch.no_grad():
        model.embedding.bias.zero_()
        for place, value in ((0, x[0, -patch]), (patch - 1, x[0, -1])):
            model.embedding.weight.zero_()
            model.embedding.weight[0, place] = 1.0
            entered = model.enter(x)
            assert entered.shape == (1, patches, DIM)
            assert entered[0, -1, 0] == value


@pytest.mark.parametrize("normalise", ["window", "last"])
@pytest.mark.parametrize("forecast", ["last", "all"])
@pytest.mark.parametrize("skip", ["none", "linear"])
def test_a_forecast_moves_with_its_window(normalise, forecast, skip) -> None:
    model = make_model(replace(SPEC, normalise=normalise, forecast=forecast, skip=skip))
    if model.skip is not None:
        torch.nn.init.normal_(model.skip.weight)
    x = windows()
    y = model(x)
    assert y.shape == (3, 1, 6)
    torch.testing.assert_close(model(x + 5.0), y + 5.0)
    if normalise == "window":  # the variance has a little added to it
        torch.testing.assert_close(model(x * 3.0), y * 3.0, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalise", ["window", "last", "none"])
def test_with_a_silent_head_the_linear_map_is_the_forecast(normalise) -> None:
    model = make_model(replace(SPEC, normalise=normalise, skip="linear"))
    assert model.skip is not None
    weight = torch.randn(6, 20, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        model.head.weight.zero_()
        x = windows()
        last, mean = x[:, -1:], x.mean(1, keepdim=True)
        shift = {"window": mean, "last": last, "none": torch.zeros_like(last)}[normalise]
        torch.testing.assert_close(model(x)[:, 0], shift.expand(-1, 6))  # it begins with zeros
        model.skip.weight.copy_(weight)
        torch.testing.assert_close(model(x)[:, 0], (x - shift) @ weight.T + shift)


@pytest.mark.parametrize("normalise", ["window", "last", "none"])
def test_the_linear_map_begins_at_one_of_windows_without_their_last_value(normalise) -> None:
    model = make_model(replace(SPEC, normalise=normalise, skip="fitted"))
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(20, 6, generator=generator), torch.randn(6, generator=generator)
    model.begin_at(weight.double(), bias.double())
    x = windows()
    with torch.no_grad():
        model.head.weight.zero_()
        said = model(x)[:, 0]
    last = x[:, -1:]
    wanted = (x - last) @ weight.double() + last + (0.0 if normalise == "window" else bias)
    torch.testing.assert_close(said, wanted)


def test_without_a_linear_map_none_can_be_set() -> None:
    with pytest.raises(ValueError, match="no linear map"):
        make_model().begin_at(torch.zeros(20, 6), torch.zeros(6))


def test_a_constant_window_is_forecast_and_has_gradients() -> None:
    model = make_model()
    x = torch.full((2, 20), 4.0).double().requires_grad_()
    y = model(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_channels_do_not_meet() -> None:
    model, x = make_model(), windows()
    changed = x.clone()
    changed[1] = -changed[1]
    assert torch.equal(model(x)[[0, 2]], model(changed)[[0, 2]])


def test_a_state_carries_the_memory_from_window_to_window() -> None:
    model, x = make_model(), windows()
    first, state = model(x, model.start(3))
    assert torch.equal(first, model(x))
    assert state.position.tolist() == [model.length] * 3
    assert not torch.equal(model(x, state)[0], first)


def test_forecasts_from_all_patches_have_no_positions() -> None:
    model = make_model(replace(SPEC, forecast="all"))
    with pytest.raises(ValueError, match="one forecast"):
        model(windows(), positions=torch.zeros(3, 1, dtype=torch.int64))


def test_its_example_is_one() -> None:
    model = make_model(memory=False)
    assert model(model.example(2, 99)).shape == (2, 1, 6)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"patch: 30 values are more than lookback = 20"):
        replace(SPEC, patch=30)
    with pytest.raises(ValueError, match="stride: 0"):
        replace(SPEC, stride=0)
