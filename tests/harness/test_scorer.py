"""Scores of texts: sums of single tokens' log-probabilities, whatever stands beside them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import playground as pg
from playground.errors import DataError
from playground.harness import Scorer
from playground.harness import run as run_harness
from playground.harness import scorer as scorer_module
from playground.harness.run import _numbers
from playground.spec import ModelSpec
from playground.tasks.tokenizers import Bytes, Chars, Words
from tests.train.small import MEMORY

SPEC = replace(MEMORY, vocab=256)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    model = pg.build(SPEC, seed=3).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3.0)
    return Scorer(model, SPEC, Bytes())


def by_hand(scorer: Scorer, context: str, continuation: str) -> tuple[float, bool]:
    """One token at a time, the whole text before it read anew."""
    ids = [10, *(context + continuation).encode()]
    nats, greedy = 0.0, True
    with torch.no_grad():
        for at in range(len(ids) - len(continuation.encode()), len(ids)):
            logits = scorer.model(torch.tensor([ids[:at]]))[0, -1].double()
            nats += float(logits.log_softmax(-1)[ids[at]])
            greedy &= int(logits.argmax()) == ids[at]
    return nats, greedy


PAIRS = [("the cat", " sat"), ("", "hello"), ("a", " b"), ("one two three", " four five six")]


def test_continuations_are_sums_over_their_tokens(scorer: Scorer) -> None:
    found = scorer.continuations(PAIRS)
    for pair, one in zip(PAIRS, found, strict=True):
        nats, greedy = by_hand(scorer, *pair)
        assert one.nats == pytest.approx(nats, rel=1e-4)
        assert one.greedy == greedy


def test_the_likeliest_continuation_is_greedy(scorer: Scorer) -> None:
    added = scorer.write("the cat", stop=[], tokens=3)
    if len(added.encode()) == 3 and not added[0].isspace():
        (found,) = scorer.continuations([("the cat", added)])
        assert found.greedy
    other = "\x01\x02\x03" if added != "\x01\x02\x03" else "\x03\x02\x01"
    (found,) = scorer.continuations([("the cat", other)])
    assert not found.greedy


def test_a_blank_at_the_end_of_a_context_belongs_to_the_continuation(scorer: Scorer) -> None:
    first, second = scorer.continuations([("the cat ", "sat"), ("the cat", " sat")])
    assert first.nats == pytest.approx(second.nats, rel=1e-5)


def test_whole_texts_are_read_as_one_stream(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["short", "a much longer text " * 5, "\u20ac"]
    expected = [by_hand(scorer, "", text)[0] for text in texts]
    assert scorer.whole(texts) == pytest.approx(expected, rel=1e-4)
    monkeypatch.setattr(scorer_module, "PIECE", 16)
    assert scorer.whole(texts) == pytest.approx(expected, rel=1e-4)


def test_long_contexts_are_read_in_pieces(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("word " * 20, "end"), ("x", "yz")]
    expected = [one.nats for one in scorer.continuations(pairs)]
    monkeypatch.setattr(scorer_module, "PIECE", 16)
    monkeypatch.setattr(scorer_module, "LOGITS", 256)
    assert [one.nats for one in scorer.continuations(pairs)] == pytest.approx(expected, rel=1e-4)


def test_writing_stops_before_a_stop_text(scorer: Scorer) -> None:
    whole = scorer.write("ab", stop=[], tokens=8)
    mark = whole[len(whole) // 2]
    assert scorer.write("ab", stop=[mark], tokens=8) == whole[: whole.index(mark)]


def test_words_score_words() -> None:
    tokenizer = Words(b"a b c <unk>\nb a c\n")
    spec = replace(SPEC, vocab=tokenizer.vocab)
    scorer = Scorer(pg.build(spec, seed=0).eval(), spec, tokenizer)
    known, unknown = scorer.continuations([("a b", " c"), ("a b", " z")])
    assert known.nats < 0 and unknown.nats < 0
    assert np.isfinite(scorer.whole(["a b\nc d"])).all()


def test_a_word_that_the_tokenizer_does_not_know_is_never_guessed() -> None:
    tokenizer = Words(b"a b c <unk>\nb a c\n")
    spec = replace(SPEC, vocab=tokenizer.vocab)
    pair = ("a b", " z")
    scorers = (Scorer(pg.build(spec, seed=s).eval(), spec, tokenizer) for s in range(100))
    says_unk = next(s for s in scorers if s.continuations([("a b", " <unk>")])[0].greedy)
    (found,) = says_unk.continuations([pair])
    assert found.nats == says_unk.continuations([("a b", " <unk>")])[0].nats
    assert not found.greedy
    assert says_unk.continuations([("z b", " <unk>")])[0].nats < 0  # of a context it is no matter


def test_a_tokenizer_without_line_ends_is_refused() -> None:
    spec: ModelSpec = replace(SPEC, vocab=3)
    with pytest.raises(DataError, match="not in the train split"):
        Scorer(pg.build(spec), spec, Chars(b"abc"))


@pytest.mark.parametrize(
    ("tokenizer", "reads"),
    [
        (Chars(b"abc\n"), False),
        (Chars(b"abc\n", b"abcd\n"), True),
        (Words(b"a b\nc a\n"), False),
        (Words(b"a b <unk>\nc a\n"), True),
    ],
)
def test_a_table_without_an_id_for_others_is_refused_before_tasks_are_read(
    tokenizer: Any, reads: bool
) -> None:
    spec = replace(SPEC, vocab=tokenizer.vocab)
    scorer = Scorer(pg.build(spec), spec, tokenizer)
    if reads:
        scorer.require_any_text()
        return
    with pytest.raises(DataError, match=r"no id for what was not in its text.*bytes or hf:NAME"):
        scorer.require_any_text()


def test_without_the_package_the_extra_is_named(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    real = importlib.import_module

    def missing(name: str, *more: Any) -> Any:
        if name.startswith("lm_eval"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DataError, match=r"lm_eval.*not installed.*lm-eval\]"):
        run_harness(scorer, ["piqa"])


def test_a_filter_is_named_where_there_are_several() -> None:
    found = {"alias": "x", "exact_match,strict": 0.25, "exact_match,flexible": 0.5, "acc,none": 1.0}
    assert _numbers(found) == {"exact_match,strict": 0.25, "exact_match,flexible": 0.5, "acc": 1.0}
