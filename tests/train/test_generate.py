"""Sampling: what it draws, and that a carried state changes nothing."""

from dataclasses import replace

import pytest
import torch

from blocks.spec import AttentionSpec, Mac
from playground.compile import build
from playground.errors import PlaygroundError
from playground.train import generate
from playground.train.generate import left_pad
from tests.train.small import ATTENTION, MEMORY

PROMPT = [3, 1, 4, 1, 5]


@pytest.mark.parametrize("length", [1, 3, 4, 5, 9])
def test_greedy_sampling_takes_what_one_pass_would(length: int):
    model = build(MEMORY).eval()
    prompt = [i % 32 for i in range(length)]
    (added,) = generate(model, MEMORY, [prompt], tokens=4, temperature=0)
    read = list(prompt)
    with torch.no_grad():
        for token in added:
            assert int(model(torch.tensor([read]))[0, -1].argmax()) == token
            read.append(token)


def test_a_row_is_drawn_the_same_whatever_stands_beside_it():
    model = build(ATTENTION).eval()
    alone = generate(model, ATTENTION, [PROMPT], tokens=6, seed=3)
    beside = generate(model, ATTENTION, [PROMPT, [7, 7, 7, 7, 7]], tokens=6, seed=3)
    assert beside[0] == alone[0]
    assert generate(model, ATTENTION, [PROMPT], tokens=6, seed=4) != alone


def test_ragged_prompts_are_padded_on_the_left_and_padding_is_not_seen():
    model = build(ATTENTION).eval()
    rows = generate(model, ATTENTION, [PROMPT, [2, 7]], tokens=5, temperature=0)
    alone = generate(model, ATTENTION, [[2, 7]], tokens=5, temperature=0)
    assert rows[1] == alone[0]


def test_padding_is_to_a_common_start_of_chunks_and_segments():
    tokens, mask = left_pad([[1, 2, 3], [4]], 4)
    assert tokens.tolist() == [[0, 1, 2, 3], [0, 0, 0, 4]]
    assert mask is not None
    assert mask.tolist() == [[False, True, True, True], [False, False, False, True]]
    assert left_pad([[1, 2], [3, 4]], 4)[1] is None
    memory = getattr(MEMORY.block, "memory")  # noqa: B009
    mac = Mac(memory=memory, attention=AttentionSpec(heads=2), segment_len=12)
    assert MEMORY.period == 4
    assert replace(MEMORY, block=mac).period == 12
    assert ATTENTION.period == 1


def test_top_k_of_one_is_greedy():
    model = build(ATTENTION).eval()
    greedy = generate(model, ATTENTION, [PROMPT], tokens=5, temperature=0)
    assert generate(model, ATTENTION, [PROMPT], tokens=5, top_k=1) == greedy


def test_no_tokens_are_asked_for_and_none_come():
    assert generate(build(ATTENTION).eval(), ATTENTION, [PROMPT], tokens=0) == [[]]


@pytest.mark.parametrize(
    ("prompts", "more", "problem"),
    [
        ([[]], {}, "empty"),
        ([], {}, "empty"),
        ([[32]], {}, "outside"),
        ([[-1]], {}, "outside"),
        ([[1]], {"temperature": -1.0}, "temperature"),
        ([[1]], {"top_k": 0}, "top_k"),
    ],
)
def test_what_cannot_be_sampled_is_named(prompts: list[list[int]], more: dict, problem: str):
    with pytest.raises(PlaygroundError, match=problem):
        generate(build(ATTENTION).eval(), ATTENTION, prompts, tokens=1, **more)
