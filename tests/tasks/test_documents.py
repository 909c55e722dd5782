"""Documents: where they begin, and that none is read with the memory of another."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from playground.errors import DataError
from playground.spec.tasks import Text
from playground.tasks import IGNORE, TextTask, evaluate
from playground.tasks.corpora import load_corpus
from playground.tasks.documents import cut, join, separated
from playground.tasks.windows import document_steps

LENGTH = 8


class Summing(nn.Module):
    """Logits from the sum of all tokens since the start: what a memory kept shows."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(17, vocab))

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, dtype=torch.int64)

    def restart(self, state: Tensor, rows: Tensor) -> Tensor:
        return torch.where(rows, 0, state)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> object:
        before = self.start(len(tokens)) if state is None else state
        sums = before[:, None] + tokens.cumsum(1)
        logits = self.table[sums % 17]
        return logits if state is None else (logits, sums[:, -1])


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, 120)
    texts = ["".join(rng.choice(list("abc d\u20ac"), size)) for size in sizes]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def make(corpus: str, **fields: object) -> TextTask:
    given = {"length": LENGTH, "documents": "reset", "split": (0.6, 0.2, 0.2), **fields}
    return TextTask(Text(corpus=corpus, **given))  # type: ignore[arg-type]


def documents_of(task: TextTask, split: str) -> list[np.ndarray]:
    assert task.starts is not None
    return np.split(task.encoded[split].tokens.astype(np.int64), task.starts[split][1:])


@pytest.mark.parametrize("tokenizer", ["bytes", "chars", "words"])
@pytest.mark.parametrize("stream_eval", [True, False])
def test_every_document_is_scored_as_if_it_were_alone(
    corpus: str, tokenizer: str, stream_eval: bool
) -> None:
    if tokenizer == "words":
        corpus = closed(corpus)
    task = make(corpus, tokenizer=tokenizer, stream_eval=stream_eval)
    model = Summing(task.vocab)
    losses = []
    for document in documents_of(task, "test"):
        step = len(document) if stream_eval else LENGTH
        for at in range(0, len(document) - 1, step):
            read = torch.from_numpy(document[at : at + step + 1])
            logits = model.table[read[:-1].cumsum(0) % 17].detach()
            losses.append(nn.functional.cross_entropy(logits, read[1:], reduction="none"))
    scores = evaluate(task, model, "test")
    expected = torch.cat(losses)
    assert scores["tokens"] == len(expected)
    assert scores["loss"] == pytest.approx(expected.mean().item(), rel=1e-5)


def closed(corpus: str) -> str:
    """The same with words that every part has."""
    path = Path(corpus).with_name("words.jsonl")
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(list("abcd"), size)) for size in rng.integers(2, 40, 90)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_examples_lie_within_one_document(corpus: str) -> None:
    task = make(corpus)
    whole = [document.astype(np.uint8).tobytes() for document in documents_of(task, "train")]
    batch = task.batch("train", 0, 0, 64)
    short = 0
    for row, targets in zip(batch.tokens, batch.targets, strict=True):
        scored = targets != IGNORE
        count = int(scored.sum())
        assert scored[:count].all()
        if count:
            text = bytes([*row[:count].tolist(), int(targets[count - 1])])
            assert any(text in document for document in whole)
        short += count < LENGTH
    assert 0 < short < 64


def test_an_example_does_not_depend_on_the_batch_size(corpus: str) -> None:
    task = make(corpus)
    whole = task.batch("train", 7, 0, 24)
    parts = [task.batch("train", 7, i, 3) for i in range(8)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_carry_reads_across_documents(corpus: str) -> None:
    task = make(corpus, documents="carry")
    assert task.starts is None
    assert not (task.batch("train", 0, 0, 64).targets == IGNORE).any()


def test_one_long_stream_begins_anew_at_every_document(corpus: str) -> None:
    task = make(corpus)
    model = Summing(task.vocab)
    once = len(task.encoded["test"].tokens) - len(documents_of(task, "test"))
    long = evaluate(task, model, "test", scoring=task.stream("test", 2 * once))
    assert long["tokens"] == 2 * once
    assert long["loss"] == pytest.approx(evaluate(task, model, "test")["loss"], rel=1e-5)


def test_documents_wait_for_a_row_that_is_free() -> None:
    starts = np.array([0, 10, 13, 14, 30])
    steps = document_steps(starts, 33, 4, rows=2)
    read: list[tuple[int, int]] = []
    for step in steps:
        assert step.fresh is not None
        read += [
            (a, b) for a, b in zip(step.starts.tolist(), step.stops.tolist(), strict=True) if b > a
        ]
    covered = sorted(place for a, b in read for place in range(a, b))
    ends = {9, 12, 13, 29, 32}  # the last token of a document is a target only
    assert covered == [place for place in range(33) if place not in ends]


def test_a_folder_of_texts_is_a_corpus_of_documents(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    corpus = load_corpus(str(tmp_path), (0.6, 0.2, 0.2))
    assert corpus.parts["val"] == b"text 6\ntext 7\n"
    assert corpus.starts is not None
    assert corpus.starts["val"].tolist() == [0, 7]
    assert corpus.facts["documents"] == {"train": 6, "val": 2, "test": 2}


def test_a_separator_ends_a_document_with_the_line_end_after_it() -> None:
    text = b"one\n<end>\ntwo<end>three\n<end>\n"
    assert separated(text, "<end>").tolist() == [0, 10, 18]


def test_a_separator_in_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some words here\n---\n" * 60)
    task = make(str(path), separator="---", length=4)
    assert task.starts is not None
    assert len(task.starts["train"]) == 36
    assert task.describe()["documents"]["train"] == 36


def test_reset_without_known_documents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words " * 100)
    with pytest.raises(DataError, match=r"nothing tells where.*separator"):
        make(str(path))


def test_a_line_that_is_no_document_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"words": 1}\n')
    with pytest.raises(DataError, match=r"line 2 is no JSON object with a text"):
        load_corpus(str(path))


def test_the_standard_library_tells_where_its_files_begin() -> None:
    corpus = load_corpus("python-stdlib")
    assert corpus.starts is not None
    assert {part: len(found) for part, found in corpus.starts.items()} == corpus.facts["files"]


def test_a_cut_is_near_its_fractions_and_between_documents() -> None:
    documents = [bytes([65 + i]) * 10 for i in range(10)]
    parts = cut(documents, (0.5, 0.5, 0.0))
    assert [len(parts[part]) for part in ("train", "val", "test")] == [5, 5, 5]
    text, starts = join(parts["train"])
    assert starts.tolist() == [0, 11, 22, 33, 44]
    assert len(text) == 55
    assert math.isclose(len(parts["val"]) / 10, 0.5)


@pytest.mark.parametrize(
    "line", [b'{"text": null}', b'{"text": 3}', b'{"text": "\\ud800"}', b'{"text": "caf\xe9"}']
)
def test_a_line_whose_text_is_none_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one"}\n' + line + b"\n")
    with pytest.raises(DataError, match="line 2 is no JSON object with a text"):
        load_corpus(str(path))
