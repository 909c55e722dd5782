"""The model: one pass, any split, positions, padding, and a stream put away."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blocks.attention_block import AttentionBlock
from blocks.block import Setting
from blocks.conv_block import ConvBlock
from blocks.identity_block import IdentityBlock
from blocks.init import initialise
from blocks.model import Model, ModelState
from blocks.positions_block import PositionsBlock
from blocks.spec import Attention, AttentionSpec, Conv, FeedForwardSpec, Identity, Positions
from blocks.streams import load_stream, save_stream

VOCAB, DIM, LENGTH = 19, 16, 21


@dataclass(frozen=True, kw_only=True)
class Shape:
    norm: Any = "rms"
    tie: bool = True
    persistent_tokens: int = 2


def make_model(shape: Shape | None = None, seed: int = 0) -> Model:
    """Full and windowed attention, a convolution, positions and no mixer at all, in fp64."""
    shape = shape or Shape()
    setting = Setting(dim=DIM, persistent_tokens=shape.persistent_tokens, norm=shape.norm)
    heads, gelu = AttentionSpec(heads=2), FeedForwardSpec(kind="gelu")
    blocks = [
        AttentionBlock(Attention(attention=heads), setting),
        AttentionBlock(Attention(attention=heads, window_len=5), setting),
        ConvBlock(Conv(width=3, feedforward=gelu), setting),
        PositionsBlock(Positions(period=8), setting),
        IdentityBlock(Identity(), setting),
    ]
    model = Model(blocks, vocab=VOCAB, dim=DIM, norm=shape.norm, tie_embeddings=shape.tie)
    initialise(model, seed)
    return model.double()


def make_tokens(length: int = LENGTH) -> Tensor:
    return torch.randint(0, VOCAB, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "shape", [Shape(), Shape(norm="layer", tie=False), Shape(persistent_tokens=0)]
)
@pytest.mark.parametrize("parts", [[1] * LENGTH, [4, 17], [20, 1], [5, 5, 0, 11]])
def test_any_split_equals_one_pass(shape: Shape, parts: list[int]) -> None:
    model, tokens = make_model(shape), make_tokens()
    state, outputs = model.start(2), []
    for part in tokens.split(parts, dim=1):
        logits, state = model(part, state)
        outputs.append(logits)
    assert (torch.cat(outputs, dim=1) - model(tokens)).abs().max() < 1e-10
    assert state.position.tolist() == [LENGTH, LENGTH]


def test_a_changed_token_leaves_all_earlier_logits_bit_identical() -> None:
    model, tokens = make_model(), make_tokens()
    logits = model(tokens)
    for t in range(LENGTH):
        other = tokens.clone()
        other[:, t] = (other[:, t] + 1) % VOCAB
        changed = model(other)
        assert torch.equal(changed[:, :t], logits[:, :t])
        assert not torch.equal(changed[:, t], logits[:, t])


def test_sequences_do_not_depend_on_each_other() -> None:
    model, tokens = make_model(), make_tokens()
    assert (model(tokens)[1:] - model(tokens[1:])).abs().max() < 1e-12


def test_logits_at_some_positions_are_those_of_all() -> None:
    model, tokens = make_model(), make_tokens()
    positions = torch.tensor([[0, 7, 20], [3, 3, 1]])
    every = model(tokens)
    expected = torch.stack([every[b, positions[b]] for b in range(2)])
    assert (model(tokens, positions=positions) - expected).abs().max() < 1e-12


def test_padding_on_the_left_changes_no_logits() -> None:
    model, tokens = make_model(), make_tokens()
    padded = torch.cat([torch.zeros(2, 6, dtype=torch.int64), tokens], dim=1)
    mask = torch.arange(LENGTH + 6).expand(2, -1) >= 6
    assert (model(padded, mask=mask)[:, 6:] - model(tokens)).abs().max() < 1e-10


def test_an_empty_call_returns_no_logits_and_the_same_state() -> None:
    model = make_model()
    _, state = model(make_tokens(), model.start(2))
    logits, after = model(make_tokens(0), state)
    assert logits.shape == (2, 0, VOCAB)
    assert (after.to_tensordict() == state.to_tensordict()).all()


def test_a_detached_state_carries_no_graph() -> None:
    model = make_model()
    _, state = model(make_tokens(), model.start(2))
    leaves = state.detach().to_tensordict().values(True, True)
    assert not any(leaf.requires_grad for leaf in leaves)


def test_a_stream_is_put_away_and_taken_up_again(tmp_path: Path) -> None:
    model, tokens = make_model(), make_tokens()
    _, state = model(tokens[:, :9], model.start(2))
    save_stream(state, tmp_path / "stream.safetensors")
    taken_up = load_stream(model, tmp_path / "stream.safetensors")
    assert isinstance(taken_up, ModelState)
    expected, after = model(tokens[:, 9:], state)
    logits, again = model(tokens[:, 9:], taken_up)
    assert torch.equal(logits, expected)
    assert (again.to_tensordict() == after.to_tensordict()).all()


def test_a_stream_of_another_model_is_refused(tmp_path: Path) -> None:
    model = make_model()
    save_stream(model.start(1), tmp_path / "stream.safetensors")
    other = Model([], vocab=VOCAB, dim=DIM)
    with pytest.raises(ValueError, match="the stream is of another model"):
        load_stream(other, tmp_path / "stream.safetensors")


def test_the_state_says_its_bytes_per_sequence() -> None:
    model = make_model()
    sizes = []
    for length in (6, 7, 30):
        _, state = model(make_tokens(length), model.start(2))
        sizes.append(state.num_bytes())
    per_token = 2 * DIM * 8 + 1  # full attention: a key and a value in fp64, and a bool
    assert sizes[1] - sizes[0] == per_token and sizes[2] - sizes[0] == 24 * per_token


def test_a_tied_head_has_no_weights_of_its_own() -> None:
    def names(tie: bool) -> set[str]:
        return {name for name, _ in make_model(Shape(tie=tie)).named_parameters()}

    assert names(False) - names(True) == {"head.weight"}


def test_gradients_reach_every_parameter() -> None:
    model = make_model(Shape(tie=False))
    model(make_tokens()).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.compile
@pytest.mark.slow
def test_start_and_one_pass_compile_into_one_graph() -> None:
    model, tokens = make_model(), make_tokens(13)
    compiled = torch.compile(lambda t: model(t), fullgraph=True, backend="aot_eager")
    logits = compiled(tokens)
    assert (logits - model(tokens)).abs().max() < 1e-10
    logits.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.compile
@pytest.mark.slow
def test_a_stream_compiles_into_one_graph_and_stops_compiling() -> None:
    model, tokens = make_model(), make_tokens()
    step = torch.compile(lambda t, state: model(t, state), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        expected, state = model(tokens), model.start(2)
        for i in range(LENGTH):
            stance = "fail_on_recompile" if i > 12 else "default"
            with torch.compiler.set_stance(stance):
                logits, state = step(tokens[:, i : i + 1], state)
            assert (logits[:, 0] - expected[:, i]).abs().max() < 1e-10
