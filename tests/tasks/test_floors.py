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
from playground.tasks.kneser_ney import kneser_ney_loss

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


def kneser_ney_by_hand(train: list[int], history: list[int], token: int, order: int, vocab: int):
    """P(token | history) of the interpolated model, counting lists."""

    def grams(n: int) -> list[tuple[int, ...]]:
        return [tuple(train[i : i + n]) for i in range(len(train) - n + 1)]

    def count(gram: tuple[int, ...]) -> int:
        if len(gram) == order:
            return grams(order).count(gram)
        return len({long for long in grams(len(gram) + 1) if long[1:] == gram})

    def chance(n: int) -> float:
        if n == 0:
            return 1 / vocab
        if len(history) < n - 1:
            return chance(n - 1)
        counts = [count(gram) for gram in set(grams(n))]
        once, twice = counts.count(1), counts.count(2)
        discount = once / (once + 2 * twice) if once and twice else 0.5
        context = tuple(history[len(history) - n + 1 :]) if n > 1 else ()
        after = [count((*context, x)) for x in range(vocab)]
        if not sum(after):
            return chance(n - 1)
        left = discount * sum(c > 0 for c in after) * chance(n - 1)
        return (max(count((*context, token)) - discount, 0.0) + left) / sum(after)

    return chance(order)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_kneser_ney_equals_counting_by_hand(order: int) -> None:
    rng = np.random.default_rng(order)
    train, text = rng.integers(0, 4, 40), rng.integers(0, 5, 20)
    expected = [
        -math.log(kneser_ney_by_hand(train.tolist(), text[:i].tolist(), int(text[i]), order, 5))
        for i in range(len(text))
    ]
    assert kneser_ney_loss(train, text, order, 5) == pytest.approx(np.mean(expected), rel=1e-12)


def test_kneser_ney_probabilities_of_all_next_tokens_sum_to_one() -> None:
    train, before = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 4]), [3, 0, 1]
    lost = [kneser_ney_loss(train, np.array([*before, x]), 3, 5) * 4 for x in range(5)]
    start = kneser_ney_loss(train, np.array(before), 3, 5) * 3
    assert sum(math.exp(start - loss) for loss in lost) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.skipif("PLAYGROUND_DATA" not in os.environ, reason="needs wikitext-2")
def test_wikitext2_has_the_known_counts_and_kneser_ney_floors() -> None:
    if not (Path(os.environ["PLAYGROUND_DATA"]) / "wikitext-2/train.txt").is_file():
        pytest.skip("PLAYGROUND_DATA has no wikitext-2")
    task = TextTask(Text(corpus="wikitext-2", tokenizer="words", length=128))
    assert task.vocab == 33_278
    assert task.describe()["tokens"] == {"train": 2_088_628, "val": 217_646, "test": 245_569}
    assert "unknown_words" not in task.describe()
    assert math.exp(task.floor("kn3")) == pytest.approx(230.1, abs=0.05)
    assert math.exp(task.floor("kn5")) == pytest.approx(223.7, abs=0.05)
