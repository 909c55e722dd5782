"""A learned vector for each place, added to the token there."""

import pytest
import torch

import playground as pg
from blocks.block import Setting
from blocks.init import initialise
from blocks.positions_block import PositionsBlock
from blocks.spec import FeedForwardSpec, Positions
from playground.errors import SpecError
from playground.spec import ModelSpec

NO_FEEDFORWARD = FeedForwardSpec(kind="none")


def make_block(period: int) -> PositionsBlock:
    block = PositionsBlock(Positions(period=period, feedforward=NO_FEEDFORWARD), Setting(dim=6))
    initialise(block, 0)
    return block.double()


@pytest.mark.parametrize("before", [0, 3, 10**12])
def test_every_place_of_the_cycle_has_its_vector(before: int) -> None:
    block, x = make_block(5), torch.randn(2, 7, 6, dtype=torch.float64)
    state = block.start(2)
    with torch.no_grad():
        y, after = block(x, state.replace(position=state.position + before))
    for t in range(7):
        added = block.place.weight[(before + t) % 5].expand(2, -1)
        assert torch.equal(y[:, t], x[:, t] + added)
    assert after.position.tolist() == [before + 7] * 2


def test_padding_has_no_place_of_its_own() -> None:
    block, x = make_block(9), torch.zeros(2, 5, 6, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, True, True], [False, True, False, True, True]])
    with torch.no_grad():
        y, after = block(x, block.start(2), mask)
    assert torch.equal(y[1, mask[1]], y[0, :3])
    assert after.position.tolist() == [5, 3]


def test_a_memory_is_told_its_place() -> None:
    """The same token everywhere: alone, a memory that holds it says the same of it again."""
    lmm = "{kind: lmm, memory: {kind: delta, heads: 2, conv: 0}}"
    place = "{kind: positions, feedforward: {kind: none}}"
    tokens = torch.zeros(1, 40, dtype=torch.int64)

    def change(pattern: str) -> float:
        words = ["vocab=4", "dim=16", "depth=2", "persistent_tokens=0"]
        words += [f"layers={{pattern: {pattern}, M: {lmm}, P: {place}, N: {{kind: none}}}}"]
        spec = pg.load_model("specs/models/titans_lmm.yaml", "block=null", *words)
        model = pg.build(spec, seed=0)
        with torch.no_grad():
            logits = model.double().eval()(tokens)
        return float((logits[0, -1] - logits[0, -8]).norm() / logits[0, -1].norm())

    assert change("P M") > 100 * change("N M")


def test_a_stream_of_positions_keeps_one_number() -> None:
    spec = ModelSpec(vocab=4, dim=16, depth=1, persistent_tokens=0, block=Positions(period=3))
    assert pg.build(spec, seed=0).start(3).num_bytes() == 8


@pytest.mark.parametrize("period", [0, 2**24 + 1])
def test_a_period_without_places_is_refused(period: int) -> None:
    with pytest.raises(SpecError, match=rf"block.period: {period} is not in"):
        pg.load_model(
            "specs/models/titans_lmm.yaml", f"block={{kind: positions, period: {period}}}"
        )


def test_dropout_is_of_the_place_alone_and_of_training_alone() -> None:
    spec = Positions(period=5, dropout=0.5, feedforward=NO_FEEDFORWARD)
    block = PositionsBlock(spec, Setting(dim=200))
    initialise(block, 0)
    x = torch.ones(1, 5, 200)
    with torch.no_grad():
        dropped = (block.train()(x, block.start(1))[0] == 1).float().mean().item()
        kept = block.eval()(x, block.start(1))[0]
    assert dropped == pytest.approx(0.5, abs=0.08)  # sqrt(.25 / 1000) is .016
    assert torch.equal(kept[0], 1 + block.place.weight)
