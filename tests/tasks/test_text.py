"""The text task: windows, streaming, and scores that count every token once."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from playground.errors import DataError
from playground.spec.tasks import Text
from playground.tasks import TextTask, evaluate

LENGTH = 16


class Summing(nn.Module):
    """Logits from the sum of all tokens since the start: any lost or repeated token shows."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(17, vocab))
        self.calls: list[tuple[int, ...]] = []

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, dtype=torch.int64)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> object:
        self.calls.append(tuple(tokens.shape))
        assert not self.training and not torch.is_grad_enabled()
        before = self.start(len(tokens)) if state is None else state
        sums = before[:, None] + tokens.cumsum(1)
        logits = self.table[sums % 17]
        return logits if state is None else (logits, sums[:, -1])


def expected_loss(model: Summing, tokens: np.ndarray, borders: list[tuple[int, int]]) -> float:
    """Each [start, stop) is read from a fresh state in one go."""
    losses = []
    for start, stop in borders:
        read = torch.from_numpy(tokens[start : stop + 1].astype(np.int64))
        logits = model.table[read[:-1].cumsum(0) % 17].detach()
        losses.append(nn.functional.cross_entropy(logits, read[1:], reduction="none"))
    return torch.cat(losses).mean().item()


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    path = tmp_path / "text.txt"
    path.write_text("".join(rng.choice(list("abcdef \n\u00fc\u20ac"), 9_000)), encoding="utf-8")
    return str(path)


def make(corpus: str, **fields: object) -> TextTask:
    return TextTask(Text(corpus=corpus, length=LENGTH, **fields))  # type: ignore[arg-type]


def test_a_batch_is_windows_of_the_split_and_their_next_tokens(corpus: str) -> None:
    task = make(corpus)
    batch = task.batch("val", 0, 3, 8)
    text = task.encoded["val"].tokens.tobytes()
    assert batch.tokens.shape == batch.targets.shape == (8, LENGTH)
    assert batch.tokens.dtype == batch.targets.dtype == torch.int64
    assert batch.positions is None
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    for row in batch.tokens:
        assert bytes(row.tolist()) in text


def test_an_example_does_not_depend_on_the_batch_size(corpus: str) -> None:
    task = make(corpus)
    whole = task.batch("train", 7, 0, 24).tokens
    for size in (1, 2, 3, 8):
        parts = [task.batch("train", 7, i, size).tokens for i in range(24 // size)]
        assert torch.equal(torch.cat(parts), whole)


def test_seeds_and_splits_read_other_windows(corpus: str) -> None:
    task = make(corpus)
    first = task.batch("train", 0, 0, 8).tokens
    assert not torch.equal(first, task.batch("train", 1, 0, 8).tokens)
    assert torch.equal(first, make(corpus).batch("train", 0, 0, 8).tokens)


def test_every_place_of_a_split_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(range(20)) + b"v" * 20)
    task = TextTask(Text(corpus=str(path), length=LENGTH, split=(0.5, 0.5, 0.0)))
    firsts = task.batch("train", 0, 0, 200).tokens[:, 0]
    assert set(firsts.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("tokenizer", ["bytes", "chars"])
def test_streaming_equals_reading_every_stream_in_one_go(corpus: str, tokenizer: str) -> None:
    task = make(corpus, tokenizer=tokenizer)
    model = Summing(task.vocab)
    scores = evaluate(task, model, "test")
    tokens = task.encoded["test"].tokens
    streams = task.describe()["streams"]["test"]
    share = (len(tokens) - 1) // streams
    assert streams > 1 and share % LENGTH
    borders = [(s * share, (s + 1) * share) for s in range(streams)]
    assert scores["loss"] == pytest.approx(expected_loss(model, tokens, borders), rel=1e-5)
    assert scores["tokens"] == share * streams > len(tokens) - 1 - streams
    assert set(model.calls) == {(streams, LENGTH)}


def test_windows_cover_the_split_once_from_fresh_states(corpus: str) -> None:
    task = make(corpus, stream_eval=False)
    model = Summing(task.vocab)
    scores = evaluate(task, model, "test")
    tokens = task.encoded["test"].tokens
    last = len(tokens) - 1
    borders = [(at, min(at + LENGTH, last)) for at in range(0, last, LENGTH)]
    assert scores["loss"] == pytest.approx(expected_loss(model, tokens, borders), rel=1e-5)
    assert scores["tokens"] == last
    assert len(set(model.calls)) == 1


@pytest.mark.parametrize("stream_eval", [True, False])
def test_batches_bounds_the_evaluation_and_progress_counts_it(
    corpus: str, stream_eval: bool
) -> None:
    task = make(corpus, stream_eval=stream_eval)
    seen: list[tuple[int, int]] = []
    scores = evaluate(
        task, Summing(task.vocab), "train", batches=3, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    # Windows spread over the split may include its last one, which is shorter.
    assert 47 * LENGTH < scores["tokens"] <= 48 * LENGTH


@pytest.mark.parametrize("tokenizer", ["bytes", "chars"])
@pytest.mark.parametrize("stream_eval", [True, False])
def test_bits_per_byte_counts_the_bytes_of_the_text(
    corpus: str, tokenizer: str, stream_eval: bool
) -> None:
    task = make(corpus, tokenizer=tokenizer, stream_eval=stream_eval)
    scores = evaluate(task, Summing(task.vocab), "val")
    read = task.encoded["val"].tokens[1 : int(scores["tokens"]) + 1]
    size = len(read) if tokenizer == "bytes" else len(task.tokenizer.decode(read).encode())
    assert scores["bytes"] == size
    bits = scores["loss"] * scores["tokens"] / math.log(2)
    assert scores["bits_per_byte"] == pytest.approx(bits / scores["bytes"])
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))


def test_evaluation_restores_the_mode_of_the_model(corpus: str) -> None:
    task = make(corpus)
    model = Summing(task.vocab).train()
    evaluate(task, model, "val", batches=1)
    assert model.training and torch.is_grad_enabled()


def test_a_diverged_model_has_infinite_perplexity_not_an_exception(corpus: str) -> None:
    task = make(corpus)
    model = Summing(task.vocab)
    with torch.no_grad():
        model.table *= 1e6
    assert evaluate(task, model, "val")["perplexity"] == math.inf


def test_floors_are_ordered_on_real_text() -> None:
    task = TextTask(Text(length=64))
    floors = task.floors()
    assert 1.5 < floors["bigram"] < floors["unigram"] < math.log(256)


def test_describe_is_json_and_names_data_split_and_protocol(corpus: str) -> None:
    facts = make(corpus, split=(0.9, 0.1, 0.0)).describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["test"] == "the same text as val"
    assert "streaming" in facts["evaluation"]
    assert len(facts["sha256"]) == 64


def test_a_split_shorter_than_an_example_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 100)
    with pytest.raises(DataError, match=r"its val split has 5 tokens.*length 16"):
        make(str(path))


@pytest.mark.parametrize("tokenizer", ["chars", "words"])
def test_a_text_without_characters_is_named(tmp_path: Path, tokenizer: str) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"some words. " * 180 + b"caf\xe9 " + b"some words. " * 20)
    with pytest.raises(DataError) as found:
        make(str(path), tokenizer=tokenizer)
    assert f"task.corpus {path}: it is not UTF-8 text (byte 2163 of its train split)." in str(
        found.value
    )
    assert make(str(path), tokenizer="bytes").vocab == 256


def test_unknown_splits_and_floors_are_refused(corpus: str) -> None:
    task = make(corpus)
    with pytest.raises(DataError, match="'dev' does not exist"):
        task.batch("dev", 0, 0, 1)
    with pytest.raises(DataError, match="no n-gram"):
        task.floor("0gram")
