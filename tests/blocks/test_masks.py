"""Every pattern against its definition, row by row, and all backends' views of it are one."""

import importlib.util
import inspect

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask

from blocks.masks import Sight, band, segment_context, sliding_window
from blocks.xformers_parts import bias
from tests.blocks.patterns import PADDED, PATTERNS, WHOLE, rows_of

CPU = torch.device("cpu")
needs_xformers = pytest.mark.skipif(
    importlib.util.find_spec("xformers") is None, reason="xformers is an extra"
)


def expected(sight: Sight, batch: int, row: int, column: int) -> bool:
    """The sentence of the docstring, written out."""
    if column < sight.prefix:
        return True
    token, me = (column - sight.prefix) % sight.length, row + sight.past
    reach = sight.window_len or sight.length
    if not me - reach < token <= me:
        return False
    return sight.live is None or bool(sight.live[batch, token]) or token == me


@pytest.mark.parametrize("name", PATTERNS)
def test_a_dense_mask_says_what_the_pattern_says(name: str) -> None:
    sight = PATTERNS[name]
    rows = rows_of(sight)
    mask = sight.dense(rows, CPU)
    for b in range(mask.shape[0]):
        for i in range(rows):
            for j in range(sight.columns):
                assert bool(mask[b, 0, i, j]) == expected(sight, b, i, j), (b, i, j)


@pytest.mark.parametrize("name", PATTERNS)
def test_flex_and_dense_masks_are_the_same(name: str) -> None:
    sight = PATTERNS[name]
    rows = rows_of(sight)
    flex: Tensor = create_mask(sight.visible(), 2, None, rows, sight.columns, device="cpu")
    assert torch.equal(flex, sight.dense(rows, CPU).expand_as(flex))


@pytest.mark.parametrize("name", WHOLE)
def test_parts_are_disjoint_and_together_the_dense_mask(name: str) -> None:
    sight = WHOLE[name]
    rows = rows_of(sight)
    dense, at = sight.dense(rows, CPU)[0, 0], 0
    for first, stop, reach in sight.parts():
        assert first == at < stop
        part = band(rows, stop - first, reach, CPU)
        assert torch.equal(part, dense[:, first:stop])
        assert part.any(-1).all()  # so that its softmax is finite
        at = stop
    assert at == sight.columns


@pytest.mark.parametrize("name", PADDED)
def test_padding_has_no_parts(name: str) -> None:
    with pytest.raises(ValueError, match="holes"):
        PADDED[name].parts()


@needs_xformers
@pytest.mark.parametrize("name", WHOLE)
def test_masks_of_xformers_are_disjoint_and_together_the_dense_mask(name: str) -> None:
    sight = WHOLE[name]
    rows, count = rows_of(sight), torch.zeros(rows_of(sight), sight.columns)
    for first, stop, reach in sight.parts():
        mask, shape = bias(reach), (rows, stop - first)
        count[:, first:stop] += torch.ones(shape) if mask is None else mask.materialize(shape).exp()
    assert torch.equal(count, sight.dense(rows, CPU)[0, 0].float())


@needs_xformers
def test_xformers_has_the_functions_that_are_called() -> None:
    from xformers.ops import fmha

    partial = inspect.signature(fmha.memory_efficient_attention_partial)
    assert partial.bind(1, 2, 3, attn_bias=None)
    back = inspect.signature(fmha.memory_efficient_attention_backward)
    wanted = ["grad", "output", "lse", "query", "key", "value", "attn_bias"]
    assert list(back.parameters)[:7] == wanted


@needs_xformers
@pytest.mark.parametrize("reach", [0, -1, 8])
def test_kernels_of_xformers_take_our_parts_but_for_the_device(reach: int) -> None:
    from xformers.ops.fmha import flash
    from xformers.ops.fmha.common import Inputs

    q, k = (torch.zeros(2, n, 3, 64, dtype=torch.float16) for n in (32, 50))
    given = {"query": q, "key": k[:, :40], "value": k[:, :40], "attn_bias": bias(reach)}
    forward = flash.FwOp.not_supported_reasons(Inputs(**given, is_partial=True))
    reasons = [*forward, *flash.BwOp.not_supported_reasons(Inputs(**given))]
    assert all("device=cpu" in why or "wasn't built" in why for why in reasons), reasons


def test_every_row_sees_itself_even_where_all_is_padding() -> None:
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    assert sliding_window(5, 2, live=nothing).dense(5, CPU).any(-1).all()
    assert segment_context(5, live=nothing).dense(5, CPU).any(-1).all()
