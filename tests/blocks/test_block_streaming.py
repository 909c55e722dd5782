"""A stream can be left and taken up again at any token, with a state that stops growing."""

import itertools
from typing import Any

import pytest
import torch

from tests.blocks.small import CHUNK, SCANS, SEGMENT, SPECS, WINDOW, make_block, make_tokens

LENGTH = 2 * SEGMENT + 3
SPLITS = (0, 1, CHUNK - 1, CHUNK, CHUNK + 2, SEGMENT - 1, SEGMENT, SEGMENT + 1, LENGTH)
LONG = 12  # a segment of three chunks, so that 7 is neither of a chunk nor of a segment
PROMPTS = (1, 7, CHUNK, CHUNK + 1, LONG - 1, LONG, LONG + 1, 3 * LONG + 5)
DECODED = 5  # over the end of a chunk, whatever the prompt


def leaves(state: Any) -> dict[str, torch.Tensor]:
    return dict(state.to_tensordict().flatten_keys("/").items())


def assert_same_state(found: Any, expected: Any) -> None:
    after = leaves(found)
    assert after.keys() == leaves(expected).keys()
    for name, leaf in leaves(expected).items():
        assert torch.allclose(after[name].double(), leaf.double(), 0, 1e-9), name


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("kind", SPECS)
def test_a_split_anywhere_equals_one_pass(kind: str, scan: str) -> None:
    block: Any = make_block(kind, scan=scan)
    x = make_tokens(LENGTH)
    with torch.no_grad():
        whole, end = block(x, block.start(2))
        for split in SPLITS:
            first, middle = block(x[:, :split], block.start(2))
            second, last = block(x[:, split:], middle)
            assert (torch.cat([first, second], 1) - whole).abs().max() < 1e-9
            assert_same_state(last, end)


def passed(block: Any, x: torch.Tensor, ends: list[int]) -> tuple[torch.Tensor, dict[int, Any]]:
    """What a block says of x, and its state after each of these many tokens."""
    state, rows, states = block.start(x.shape[0]), [], {}
    for first, end in itertools.pairwise([0, *ends]):
        y, state = block(x[:, first:end], state)
        rows.append(y)
        states[end] = state
    return torch.cat(rows, 1), states


@pytest.mark.parametrize("kind", SPECS)
def test_a_prompt_in_chunks_then_tokens_equals_the_recurrent_form(kind: str) -> None:
    fields: dict[str, Any] = {"segment_len": LONG} if kind.startswith("mac") else {}
    oracle: Any = make_block(kind, **fields)
    block: Any = make_block(kind, scan="chunked", **fields)
    x = make_tokens(max(PROMPTS) + DECODED)
    with torch.no_grad():
        whole, states = passed(oracle, x, sorted(prompt + DECODED for prompt in PROMPTS))
        for prompt in PROMPTS:
            end = prompt + DECODED
            y, state = passed(block, x[:, :end], list(range(prompt, end + 1)))
            assert (y - whole[:, :end]).abs().max() < 1e-9, prompt
            assert_same_state(state[end], states[end])


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("kind", SPECS)
def test_token_by_token_equals_one_pass(kind: str, scan: str) -> None:
    block: Any = make_block(kind, scan=scan)
    x = make_tokens(LENGTH)
    with torch.no_grad():
        whole, _ = block(x, block.start(2))
        state, rows = block.start(2), []
        for t in range(LENGTH):
            y, state = block(x[:, t : t + 1], state)
            rows.append(y)
    assert (torch.cat(rows, 1) - whole).abs().max() < 1e-9


@pytest.mark.parametrize("kind", SPECS)
def test_a_state_has_the_same_parts_at_every_token(kind: str) -> None:
    block: Any = make_block(kind)
    state = block.start(1)
    parts = leaves(state).keys()
    for length in (1, 2, SEGMENT, 3):
        _, state = block(make_tokens(length, batch=1), state)
        assert leaves(state).keys() == parts


@pytest.mark.parametrize("kind", SPECS)
def test_a_state_stops_growing(kind: str) -> None:
    block: Any = make_block(kind)
    state, sizes = block.start(1), []
    with torch.no_grad():
        for _ in range(3 * SEGMENT):
            _, state = block(make_tokens(1, batch=1), state)
            sizes.append(state.num_bytes())
    settled = sizes[max(SEGMENT, WINDOW) :]
    if kind.startswith("mac"):  # a segment fills and is dropped, over and over
        assert settled[:SEGMENT] == settled[SEGMENT : 2 * SEGMENT]
    else:
        assert len(set(settled)) == 1
    if kind == "lmm":
        assert len(set(sizes)) == 1


@pytest.mark.parametrize("kind", SPECS)
def test_no_tokens_change_nothing(kind: str) -> None:
    block: Any = make_block(kind)
    state = block(make_tokens(3), block.start(2))[1]
    y, after = block(make_tokens(0), state)
    assert y.shape == (2, 0, 16)
    for name, leaf in leaves(state).items():
        assert torch.equal(leaves(after)[name], leaf), name


@pytest.mark.parametrize("kind", ["lmm", "mac"])
def test_a_left_padded_row_says_what_it_says_alone(kind: str) -> None:
    block: Any = make_block(kind)
    x = make_tokens(LENGTH + SEGMENT)
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[0, :SEGMENT] = False
    with torch.no_grad():
        y, state = block(x, block.start(2), mask)
        alone, end = block(x[:1, SEGMENT:], block.start(1))
        full, _ = block(x[1:], block.start(1))
    assert (y[:1, SEGMENT:] - alone).abs().max() < 1e-9
    assert (y[1:] - full).abs().max() < 1e-9
    memory = state.rule if kind == "lmm" else state.memory.rule
    alone_memory = end.rule if kind == "lmm" else end.memory.rule
    for name, w in alone_memory.memory.items():
        assert (memory.memory[name][:1] - w).abs().max() < 1e-9


@pytest.mark.parametrize("kind", ["mag", "mag_shared", "mal", "mal_inner"])
def test_a_left_padded_row_beside_attention_says_what_it_says_alone(kind: str) -> None:
    block: Any = make_block(kind)
    x = make_tokens(LENGTH + CHUNK)
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[0, :CHUNK] = False
    with torch.no_grad():
        y, _ = block(x, block.start(2), mask)
        alone, _ = block(x[:1, CHUNK:], block.start(1))
    assert (y[:1, CHUNK:] - alone).abs().max() < 1e-9


@pytest.mark.parametrize("kind", SPECS)
def test_what_stands_at_padding_reaches_no_other_token(kind: str) -> None:
    block: Any = make_block(kind)
    x = make_tokens(LENGTH)
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[0, [0, 1, 5, SEGMENT, LENGTH - 1]] = False
    other = torch.where(mask[..., None], x, x + 3.0)
    with torch.no_grad():
        y, _ = block(x, block.start(2), mask)
        z, _ = block(other, block.start(2), mask)
    assert torch.equal(y[mask], z[mask])
    assert torch.isfinite(z).all()
