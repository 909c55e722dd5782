"""A stream of every model put away in a file and taken up again, wherever it stood."""

from pathlib import Path

import pytest
import torch

import playground as pg
from blocks.streams import load_stream, save_stream
from tests.compile.test_plan import spec


@pytest.mark.parametrize("at", [3, 8, 13])
@pytest.mark.parametrize("name", ["titans_mac", "titans_mag", "titans_mal", "titans_lmm", "hybrid"])
def test_a_stream_goes_on_also_from_inside_a_segment(name: str, at: int, tmp_path: Path) -> None:
    segments = ("block.segment_len=8", "chunk_size=4") if name == "titans_mac" else ()
    model = pg.build(spec(name, "dim=16", "depth=2", "vocab=32", *segments)).double()
    tokens = torch.randint(0, 32, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, state = model(tokens[:, :at], model.start(2))
        save_stream(state, tmp_path / "stream.safetensors")
        expected, _ = model(tokens[:, at:], state)
        logits, _ = model(tokens[:, at:], load_stream(model, tmp_path / "stream.safetensors"))
    assert torch.equal(logits, expected)
