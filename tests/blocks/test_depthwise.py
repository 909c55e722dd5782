"""The causal depthwise convolution against torch's, in any parts, around padding."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.depthwise import DepthwiseConv
from blocks.init import initialise

CHANNELS, LENGTH = 6, 13


def make(width: int) -> tuple[DepthwiseConv, Tensor]:
    module = DepthwiseConv(CHANNELS, width)
    initialise(module, 0)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, LENGTH, CHANNELS, generator=generator, dtype=torch.float64)
    return module.double(), x


@pytest.mark.parametrize("width", [1, 2, 4, 20])
def test_it_equals_a_left_padded_conv1d(width: int) -> None:
    module, x = make(width)
    padded = F.pad(x.transpose(1, 2), (width - 1, 0))
    kernel = module.weight.T[:, None]
    expected = F.conv1d(padded, kernel, groups=CHANNELS).transpose(1, 2)
    assert (module(x, module.start(2))[0] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("width", [1, 2, 4, 20])
@pytest.mark.parametrize("parts", [[1] * LENGTH, [3, 10], [2, 0, 11]])
def test_any_split_is_bit_identical(width: int, parts: list[int]) -> None:
    module, x = make(width)
    whole, end = module(x, module.start(2))
    cache, outputs = module.start(2), []
    for part in x.split(parts, dim=1):
        y, cache = module(part, cache)
        outputs.append(y)
    assert torch.equal(torch.cat(outputs, dim=1), whole)
    assert torch.equal(cache, end) and cache.shape == (2, width - 1, CHANNELS)


def test_a_masked_token_keeps_its_slot_as_a_zero() -> None:
    module, x = make(4)
    mask = torch.ones(2, LENGTH, dtype=torch.bool)
    mask[:, 3] = False
    zeroed = x.clone()
    zeroed[:, 3] = 0.0
    poisoned = x.clone()
    poisoned[:, 3] = torch.nan
    y, cache = module(poisoned, module.start(2), mask)
    expected, last = module(zeroed, module.start(2))
    assert torch.equal(y, expected) and torch.equal(cache, last)


def test_the_cache_does_not_keep_the_call_alive() -> None:
    module, x = make(4)
    _, cache = module(x, module.start(2))
    assert cache.untyped_storage().nbytes() == cache.numel() * cache.element_size()
