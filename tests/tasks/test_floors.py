"""N-gram floors: proper probabilities, the same by table and by sorting, known numbers."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from playground.spec.tasks import Text
from playground.tasks import TextTask
from playground.tasks import floors as floors_module
from playground.tasks.floors import ngram_loss

# Interpolated Witten-Bell on tinyshakespeare, first 90 % train, last 10 % scored, nats/char.
PUBLISHED = {"unigram": 3.347, "bigram": 2.486, "trigram": 2.049, "4gram": 1.774, "5gram": 1.669}


def by_hand(train: list[int], history: list[int], token: int, order: int, vocab: int) -> float:
    """P(token | history) by counting lists, straight from the formula."""
    if order == 0:
        return 1 / vocab
    shorter = by_hand(train, history, token, order - 1, vocab)
    context = history[len(history) - order + 1 :] if order > 1 else []
    if len(context) < order - 1:
        return shorter
    after = [
        train[i + order - 1]
        for i in range(len(train) - order + 1)
        if train[i : i + order - 1] == context
    ]
    if not after:
        return shorter
    types = len(set(after))
    return (after.count(token) + types * shorter) / (len(after) + types)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("dense_limit", [0, 1 << 24])
def test_ngram_loss_equals_counting_by_hand(
    order: int, dense_limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors_module, "DENSE_LIMIT", dense_limit)
    rng = np.random.default_rng(order)
    train, text = rng.integers(0, 5, 60), rng.integers(0, 6, 40)
    expected = [
        -math.log(by_hand(train.tolist(), text[:i].tolist(), int(text[i]), order, 6))
        for i in range(len(text))
    ]
    assert ngram_loss(train, text, order, 6) == pytest.approx(np.mean(expected), rel=1e-12)


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    train, history = [0, 1, 2, 0, 1, 3, 0, 1, 2], [3, 0, 1]
    total = sum(by_hand(train, history, token, 3, 5) for token in range(5))
    assert total == pytest.approx(1.0)


def test_ngram_loss_refuses_nothing_to_count() -> None:
    with pytest.raises(ValueError, match="no loss"):
        ngram_loss(np.zeros(0, np.int64), np.zeros(3, np.int64), 2, 4)


@pytest.mark.skipif("PLAYGROUND_DATA" not in os.environ, reason="needs tinyshakespeare")
def test_floors_of_tinyshakespeare_are_the_known_ones() -> None:
    if not (Path(os.environ["PLAYGROUND_DATA"]) / "tinyshakespeare/input.txt").is_file():
        pytest.skip("PLAYGROUND_DATA has no tinyshakespeare")
    spec = Text(corpus="tinyshakespeare/input.txt", tokenizer="chars", split=(0.9, 0.1, 0.0))
    task = TextTask(spec)
    assert task.vocab == 65
    assert task.describe()["borders"]["val"] == [1_003_854, 1_115_394]
    assert {name: round(task.floor(name), 3) for name in PUBLISHED} == PUBLISHED
    assert task.floors() == {name: task.floor(name, "val") for name in ("unigram", "bigram")}
