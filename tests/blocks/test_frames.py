"""A model of frames: any split of a stream, positions and padding as with tokens."""

import pytest
import torch

from blocks.attention_block import AttentionBlock
from blocks.block import Setting
from blocks.conv_block import ConvBlock
from blocks.frames import FrameModel
from blocks.init import initialise
from blocks.lmm import LmmBlock
from blocks.spec import Attention, AttentionSpec, Conv, FeedForwardSpec, Lmm, MemorySpec
from blocks.streams import load_stream, save_stream
from memory_rules import RULES

WIDTH, OUTPUTS, DIM, LENGTH = 5, 3, 16, 11


def make_model(dropout: float = 0.0) -> FrameModel:
    setting, gelu = Setting(dim=DIM, persistent_tokens=2), FeedForwardSpec(kind="gelu")
    memory = MemorySpec(rule=RULES["titans"](chunk_size=4, expand=1.0), heads=2, conv=2)
    blocks = [
        LmmBlock(Lmm(memory=memory, feedforward=gelu), setting),
        AttentionBlock(Attention(attention=AttentionSpec(heads=2)), setting),
        ConvBlock(Conv(width=3, feedforward=gelu), setting),
    ]
    model = FrameModel(blocks, width=WIDTH, outputs=OUTPUTS, dim=DIM, dropout=dropout)
    initialise(model, 0)
    return model.double().eval()


def frames(length: int = LENGTH) -> torch.Tensor:
    return torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("parts", [[1] * LENGTH, [4, 7], [3, 0, 8]])
def test_any_split_equals_one_pass(parts: list[int]) -> None:
    model, x = make_model(), frames()
    whole, state, said = model(x), model.start(2), []
    for part in x.split(parts, dim=1):
        y, state = model(part, state)
        said.append(y)
    assert whole.shape == (2, LENGTH, OUTPUTS)
    assert (torch.cat(said, dim=1) - whole).abs().max() < 1e-10
    assert state.position.tolist() == [LENGTH, LENGTH]


def test_no_output_knows_a_later_frame() -> None:
    model, x = make_model(), frames()
    changed = x.clone()
    changed[:, 6] += 1
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert (before[:, 6] != after[:, 6]).any()


def test_outputs_are_made_where_they_are_asked_for() -> None:
    model, x = make_model(), frames()
    at = torch.tensor([[0, 4], [2, 10]])
    wanted = model(x).gather(1, at[..., None].expand(-1, -1, OUTPUTS))
    torch.testing.assert_close(model(x, positions=at), wanted)


def test_a_stream_is_put_away_and_taken_up_again(tmp_path) -> None:
    model, x = make_model(), frames()
    _, state = model(x[:, :6], model.start(2))
    save_stream(state, tmp_path / "s.safetensors")
    again = load_stream(model, tmp_path / "s.safetensors")
    assert torch.equal(model(x[:, 6:], state)[0], model(x[:, 6:], again)[0])


def test_dropout_is_of_training_alone() -> None:
    plain, dropped, x = make_model(), make_model(0.5), frames()
    assert torch.equal(plain(x), dropped(x))
    assert not torch.equal(plain(x), dropped.train()(x))


def test_its_example_is_one() -> None:
    model = make_model()
    assert model(model.example(3, 7)).shape == (3, 7, OUTPUTS)
