"""Every pattern against its definition, row by row, and flex's view of it against the dense one."""

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask

from blocks.masks import Sight, causal, segment_context, sliding_window

CPU = torch.device("cpu")
LIVE = torch.tensor([[True, False, True, True, True, False, True], [True] * 7])
PATTERNS = {
    "causal": causal(7),
    "causal behind a prefix": causal(7, prefix=2),
    "causal in a stream": causal(7, past=4, prefix=2),
    "causal with padding": causal(7, prefix=1, live=LIVE),
    "window": sliding_window(7, 3),
    "window of one": sliding_window(7, 1, prefix=2),
    "window in a stream with padding": sliding_window(7, 3, past=2, prefix=2, live=LIVE),
    "segment": segment_context(7, prefix=2),
    "segment in a stream with padding": segment_context(7, past=3, live=LIVE),
}


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
    rows = sight.length - sight.past
    mask = sight.dense(rows, CPU)
    for b in range(mask.shape[0]):
        for i in range(rows):
            for j in range(sight.columns):
                assert bool(mask[b, 0, i, j]) == expected(sight, b, i, j), (b, i, j)


@pytest.mark.parametrize("name", PATTERNS)
def test_flex_and_dense_masks_are_the_same(name: str) -> None:
    sight = PATTERNS[name]
    rows = sight.length - sight.past
    flex: Tensor = create_mask(sight.visible(), 2, None, rows, sight.columns, device="cpu")
    assert torch.equal(flex, sight.dense(rows, CPU).expand_as(flex))


def test_every_row_sees_itself_even_where_all_is_padding() -> None:
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    assert sliding_window(5, 2, live=nothing).dense(5, CPU).any(-1).all()
    assert segment_context(5, live=nothing).dense(5, CPU).any(-1).all()
