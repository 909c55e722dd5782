"""Every kind of pattern of visible keys, small enough for a test to look at each key."""

import torch

from blocks.masks import Sight, causal, segment_context, sliding_window

LIVE = torch.tensor([[True, False, True, True, True, False, True], [True] * 7])
WHOLE = {
    "causal": causal(7),
    "causal behind a prefix": causal(7, prefix=2),
    "causal in a stream": causal(7, past=4, prefix=2),
    "causal, one row": causal(7, past=6, prefix=1),
    "window": sliding_window(7, 3),
    "window of one": sliding_window(7, 1, prefix=2),
    "window in a stream": sliding_window(7, 3, past=2, prefix=2),
    "window that holds all": sliding_window(7, 9, prefix=2),
    "segment": segment_context(7, prefix=2),
    "segment without a prefix": segment_context(7),
    "segment in a stream": segment_context(7, past=3, prefix=1),
}
PADDED = {
    "causal with padding": causal(7, prefix=1, live=LIVE),
    "window in a stream with padding": sliding_window(7, 3, past=2, prefix=2, live=LIVE),
    "segment in a stream with padding": segment_context(7, past=3, live=LIVE),
}
PATTERNS = {**WHOLE, **PADDED}


def rows_of(sight: Sight) -> int:
    """The queries of a pattern: its tokens that are not of the past."""
    return sight.length - sight.past
