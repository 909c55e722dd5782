"""A number that is not finite: named with the step, before it is written anywhere."""

import math

import pytest
import torch
from torch import nn

from playground.errors import RunFailed
from playground.train.health import check, check_weights


def model() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    net(torch.ones(1, 2)).sum().backward()
    return net


def test_finite_numbers_pass():
    check(model(), loss=1.0, grad_norm=2.0, step=1)


def test_a_bad_gradient_is_named_when_the_loss_is_fine():
    net = model()
    net.get_parameter("1.weight").grad[0, 1] = math.inf  # pyright: ignore[reportOptionalSubscript]
    with pytest.raises(RunFailed) as caught:
        check(net, loss=1.0, grad_norm=math.inf, step=7)
    assert (caught.value.step, caught.value.tensor) == (7, "gradient 1.weight")


def test_a_bad_loss_is_named_when_the_weights_are_fine():
    with pytest.raises(RunFailed) as caught:
        check(model(), loss=math.nan, grad_norm=math.nan, step=3)
    assert (caught.value.step, caught.value.tensor) == (3, "loss")
    assert "not a number" in str(caught.value)


def test_a_bad_weight_is_named_before_the_loss_it_causes():
    net = model()
    with torch.no_grad():
        net.get_parameter("0.bias")[1] = math.nan
    with pytest.raises(RunFailed) as caught:
        check(net, loss=math.nan, grad_norm=math.nan, step=3)
    assert caught.value.tensor == "parameter 0.bias"
    with pytest.raises(RunFailed, match=r"step 3 in parameter 0.bias"):
        check_weights(net, 3)


def test_a_norm_that_overflows_alone_is_named():
    with pytest.raises(RunFailed) as caught:
        check(model(), loss=1.0, grad_norm=math.inf, step=1)
    assert caught.value.tensor == "gradient norm"
