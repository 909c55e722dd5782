"""Initial weights: a function of the seed and a parameter's name, and of a sane size."""

import math

import pytest
import torch
from torch import nn

from blocks.feedforward import FeedForward
from blocks.init import constant, generator_of, initialise, normal, uniform
from blocks.spec import FeedForwardSpec
from tests.blocks.test_model import Shape, make_model


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    one, two, other = (weights(make_model(seed=s)) for s in (3, 3, 4))
    for name, weight in one.items():
        assert torch.equal(weight, two[name])
        # ones and zeros are drawn from no generator
        assert torch.equal(weight, other[name]) == (weight.std() == 0).item(), name


def test_removing_a_module_changes_no_other_weights() -> None:
    whole, without = make_model(Shape(tie=False)), make_model(Shape(tie=True, persistent_tokens=0))
    fewer = weights(without)
    for name, weight in weights(whole).items():
        if name in fewer and fewer[name].numel():
            assert torch.equal(weight, fewer[name]), name


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    before = torch.random.get_rng_state()
    make_model()
    model = make_model()
    at = torch.random.get_rng_state()
    initialise(model, 0)
    assert torch.equal(at, torch.random.get_rng_state())
    torch.random.set_rng_state(before)


def test_weights_are_the_same_in_every_precision() -> None:
    narrow = FeedForward(FeedForwardSpec(), 16)
    wide = FeedForward(FeedForwardSpec(), 16).double()
    initialise(narrow, 0)
    initialise(wide, 0)
    for name, weight in weights(narrow).items():
        assert torch.equal(weight.double(), weights(wide)[name])


def test_projections_keep_the_size_of_what_they_read() -> None:
    model = nn.ModuleDict({"f": FeedForward(FeedForwardSpec(expand=4.0), 256)})
    initialise(model, 0)
    up, down = weights(model)["f.up.weight"], weights(model)["f.down.weight"]
    # cut at three standard deviations, a normal keeps 0.9866 of its own
    assert math.isclose(up.std().item(), 0.9866 / math.sqrt(256), rel_tol=0.02)
    assert math.isclose(down.std().item(), 0.9866 / math.sqrt(1024 * 2), rel_tol=0.02)
    assert up.abs().max() <= 3.001 / math.sqrt(256)


def test_a_deeper_model_writes_less_to_the_residual_stream() -> None:
    model = make_model()
    names = weights(model)
    out, enter = names["blocks.2.out.weight"], names["blocks.2.enter.weight"]
    assert math.isclose((enter.std() / out.std()).item(), math.sqrt(2 * 4), rel_tol=0.15)


def test_a_fresh_model_predicts_nearly_uniformly() -> None:
    model = make_model()
    tokens = torch.randint(0, 19, (4, 50), generator=torch.Generator().manual_seed(0))
    entropy = torch.distributions.Categorical(logits=model(tokens)).entropy().mean()
    assert entropy > 0.98 * math.log(19)


def test_a_parameter_that_nobody_speaks_for_is_an_error() -> None:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mystery = nn.Parameter(torch.zeros(3))

    with pytest.raises(ValueError, match=r"inside\.mystery: Silent does not say how it begins"):
        initialise(nn.ModuleDict({"inside": Silent()}), 0)


def test_fills_fill() -> None:
    x = torch.empty(2, 3)
    constant(torch.tensor([1.0, 2.0, 3.0]))(x, generator_of(0, "a"))
    assert x.tolist() == [[1.0, 2.0, 3.0]] * 2
    uniform(0.5)(x, generator_of(0, "a"))
    assert x.abs().max() <= 0.5
    normal(0.1)(torch.empty(0, 4), generator_of(0, "a"))
