"""A stream in which some sequences begin anew equals separate streams."""

import itertools
from typing import Any

import pytest
import torch

import playground as pg
from blocks.spec import Attention, BlockSpec, Conv, Positions
from memory_rules import RULES
from playground.spec import ModelSpec
from tests.blocks.small import ATTENTION, CHUNK, SEGMENT, SPECS, memory_spec

BLOCKS: dict[str, BlockSpec] = {kind: make(memory_spec()) for kind, make in SPECS.items()}
BLOCKS |= {
    "attention": Attention(attention=ATTENTION),
    "window": Attention(attention=ATTENTION, window_len=5),
    "conv": Conv(width=3),
    "positions": Positions(period=9),
}
for name in ("gated_delta", "omega", "moneta"):
    rule = RULES[name](**({"chunk_size": CHUNK} if name != "gated_delta" else {}))
    BLOCKS[name] = SPECS["lmm"](memory_spec(rule))


def model_of(block: BlockSpec) -> Any:
    spec = ModelSpec(vocab=11, dim=16, depth=2, persistent_tokens=2, block=block)
    model = pg.build(spec, seed=1).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    return model


@pytest.mark.parametrize("name", BLOCKS)
def test_a_stream_with_resets_equals_separate_streams(name: str) -> None:
    model = model_of(BLOCKS[name])
    tokens = torch.randint(0, 11, (3, 4 * SEGMENT), generator=torch.Generator().manual_seed(0))
    begins = {0: (True, True, True), 1: (False, True, False), 3: (True, True, False)}
    rows: list[torch.Tensor] = []
    with torch.no_grad():
        state = model.start(3)
        for part in range(4):
            if part and part in begins:
                state = model.restart(state, torch.tensor(begins[part]))
            logits, state = model(tokens[:, part * SEGMENT : (part + 1) * SEGMENT], state)
            rows.append(logits)
        found = torch.cat(rows, 1)
        for row in range(3):
            cuts = [part * SEGMENT for part in begins if begins[part][row]] + [4 * SEGMENT]
            for first, last in itertools.pairwise(cuts):
                alone = model(tokens[row : row + 1, first:last])
                assert (found[row, first:last] - alone[0]).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["lmm", "mac"])
def test_inside_a_chunk_nothing_can_begin_anew(name: str) -> None:
    model = model_of(BLOCKS[name])
    _, state = model(torch.zeros(2, CHUNK + 1, dtype=torch.int64), model.start(2))
    with pytest.raises(ValueError, match=r"chunk of 4 is open.*multiple"):
        model.restart(state, torch.tensor([True, False]))


def test_inside_a_segment_nothing_can_begin_anew() -> None:
    model = model_of(BLOCKS["mac"])
    _, state = model(torch.zeros(2, CHUNK, dtype=torch.int64), model.start(2))
    with pytest.raises(ValueError, match="a segment is open, 4 tokens"):
        model.restart(state, torch.tensor([True, False]))


def test_keys_that_nobody_sees_any_more_are_not_kept() -> None:
    model = model_of(BLOCKS["attention"])
    state, tokens = model.start(2), torch.zeros(2, 7, dtype=torch.int64)
    kept = []
    for rows in ((True, False), (False, True), (True, True)):
        _, state = model(tokens, state)
        state = model.restart(state, torch.tensor(rows))
        kept.append({block.k.shape[1] for _, block in state.blocks.items()})
    assert kept == [{7}, {7}, {0}]  # of the first row nothing, then its second part alone
