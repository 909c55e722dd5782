"""bAbI and BABILong: stories are the files', lengths are exact, scoring is the published one."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.errors import DataError, SpecError
from playground.spec.tasks import Babilong
from playground.tasks import evaluate, make_task
from playground.tasks.answers import certain
from playground.tasks.babi import generated, load_questions, says
from playground.tasks.babilong import BabilongTask

DATA = Path(os.environ.get("PLAYGROUND_DATA", "/nowhere"))
FACT = re.compile(
    r"(?:^|(?<=[.!?> ]))\s*(mary|john|sandra|daniel) (?:moved|went|went back|journeyed|travelled) "
    r"to the (bathroom|bedroom|garden|hallway|kitchen|office)\s*\."
)
needs_babi = pytest.mark.skipif(not (DATA / "babi").is_dir(), reason="PLAYGROUND_DATA: no babi/")


def make(**fields: object) -> BabilongTask:
    return BabilongTask(Babilong(**{"test_examples": 20, "vocab": 1000, **fields}))  # type: ignore[arg-type]


class Reader:
    """Solves qa1: the last place that the person of the question went to."""

    def __init__(self, task: BabilongTask) -> None:
        self.task = task

    def start(self, batch: int) -> "Read":
        return Read([[] for _ in range(batch)])

    def __call__(self, tokens: Any, state: Any = None, *, positions: torch.Tensor) -> Any:
        read = state if state is not None else self.start(len(tokens))
        after = Read([[*old, *row] for old, row in zip(read, tokens.tolist(), strict=True)])
        answers = torch.zeros(positions.shape, dtype=torch.int64)
        for i, row in enumerate(after):
            begun = len(row) - tokens.shape[1]
            for j, at in enumerate(positions[i].tolist()):
                answers[i, j] = self._next(row[: begun + at + 1])
        logits = certain(answers, self.task.vocab)
        return logits if state is None else (logits, after)

    def _next(self, row: list[int]) -> int:
        text = self.task.tokenizer.decode(torch.tensor(row).numpy()).lower()
        before, _, asked = text.rpartition("where is ")
        who = asked.split("?")[0].strip()
        place = [p for person, p in FACT.findall(before) if person == who][-1]
        if self.task.spec.tokenizer == "words":
            return self.task.tokenizer.id_of(place)  # type: ignore[union-attr]
        given = asked.partition("? ")[2]
        return (place + ".")[len(given)].encode()[0]


class Read(list[list[int]]):
    def detach(self) -> "Read":
        return self


@pytest.mark.parametrize("tokenizer", ["words", "bytes"])
def test_a_reader_solves_facts_alone_and_in_a_long_text(tokenizer: str) -> None:
    task = make(tokenizer=tokenizer, test_lengths=(0, 640, 1500))
    scores = evaluate(task, Reader(task), "test")  # type: ignore[arg-type]
    assert scores["solved"] == scores["solved@0"] == 1.0
    assert scores["solved@640"] == scores["solved@1500"] == 1.0
    assert scores["tokens"] >= 1000


@needs_babi
@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_the_files_have_ten_thousand_questions(number: int) -> None:
    made = load_questions("babi", DATA / "babi/en-10k", number)
    sizes = {split: len(part) for split, part in made.splits.items()}
    assert sizes["train"] + sizes["val"] == 10_000
    assert sizes["test"] == 1000
    assert len(made.labels()) == {1: 6, 2: 6, 4: 6, 5: 7}[number]


@needs_babi
def test_the_first_story_of_qa1_is_read_as_it_is_written() -> None:
    first, second = load_questions("babi", DATA / "babi/en-10k", 1).splits["train"][:2]
    assert first.facts == ("Mary moved to the bathroom.", "John went to the hallway.")
    assert (first.text, first.answer) == ("Where is Mary?", "bathroom")
    assert second.facts[2:] == ("Daniel went back to the hallway.", "Sandra moved to the garden.")


@needs_babi
def test_a_reader_solves_qa1_of_the_files_in_a_book() -> None:
    book = "warandpeace/warandpeace.txt"
    task = make(facts="babi/en-10k", corpus=book, test_lengths=(0, 1024))
    scores = evaluate(task, Reader(task), "test")  # type: ignore[arg-type]
    assert scores["solved@0"] == scores["solved@1024"] == 1.0
    assert task.describe()["commonest_answer_of_train"] < 0.2


@pytest.mark.parametrize("tokenizer", ["words", "bytes"])
def test_an_example_of_a_length_has_it_and_keeps_facts_in_order(tokenizer: str) -> None:
    task = make(tokenizer=tokenizer, length=700)
    made = task._examples("train", 0, 0, 10, 700)
    assert made.tokens.shape == (10, 700)
    fitting = task._of_length("train", 700)
    for row in made.tokens:
        text = task.tokenizer.decode(row).lower()
        facts = FACT.findall(text)
        stories = [[FACT.findall(f.lower())[0] for f in q.facts] for q in fitting]
        assert facts in stories


def test_facts_alone_are_filled_up_after_the_answer() -> None:
    task = make()
    batch = task.batch("train", 0, 0, 30)
    assert batch.positions is not None
    assert torch.equal(batch.tokens.gather(1, batch.positions + 1), batch.targets)
    for row, at in zip(batch.tokens, batch.positions[:, 0].tolist(), strict=True):
        assert (row[: at + 2] > 1).all()
        assert (row[at + 2 :] == 0).all()


def test_an_answer_in_bytes_ends_with_a_full_stop() -> None:
    batch = make(tokenizer="bytes").batch("train", 0, 0, 30)
    for row in batch.targets.tolist():
        answer = bytes(token for token in row if token != -100).decode()
        assert re.fullmatch(r"[a-z]+\.", answer)


def test_an_example_does_not_depend_on_the_batch_size() -> None:
    task = make(length=200)
    whole = task.batch("train", 7, 0, 12)
    parts = [task.batch("train", 7, i, 3) for i in range(4)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert not torch.equal(task.batch("train", 8, 0, 12).tokens, whole.tokens)


def test_lengths_of_training_come_in_turns() -> None:
    grown = make(train_lengths=(128, 256), grow_every=20)
    shapes = [grown.batch("train", 0, i, 2).tokens.shape[1] for i in range(40)]
    assert set(shapes[:20]) == {128} and set(shapes[20:]) == {128, 256}
    task = make(train_lengths=(0, 128, 256))
    lengths = {task.batch("train", 0, i, 2).tokens.shape[1] for i in range(30)}
    assert lengths == {task._longest, 128, 256}


def test_val_is_one_story_in_ten_and_no_story_of_train() -> None:
    made = load_questions("generated", None, 1)
    assert [len(made.splits[s]) for s in ("train", "val", "test")] == [9000, 1000, 1000]
    long = [{q for q in made.splits[s] if len(q.facts) == 10} for s in ("train", "val")]
    assert len(long[1]) == 200
    assert not long[0] & long[1]  # two facts alone may come again
    assert generated("train") != generated("test")


@pytest.mark.parametrize(
    ("output", "right"),
    [
        ("garden", True),
        ("The garden.", True),
        ("Mary is in the garden. Before, in the kitchen.", True),
        ("the garden or the office", False),
        ("gardens", False),
        ("", False),
        ("garden hallway", True),  # the question names the hallway
        ("hallway", False),
    ],
)
def test_the_published_scoring(output: str, right: bool) -> None:
    labels = ("garden", "hallway", "kitchen", "office")
    assert says(output, "garden", "What is north of the hallway?", labels) is right


def test_answers_of_several_labels_need_them_all() -> None:
    labels = ("milk", "milk,apple", "nothing")
    assert says("apple and milk", "milk,apple", "What is Mary carrying?", labels)
    assert not says("milk", "milk,apple", "What is Mary carrying?", labels)


def test_a_story_may_have_more_facts_than_any_of_qa1(tmp_path: Path) -> None:
    places = ("hall", "office")
    facts = "".join(f"{i + 1} Mary went to the {places[i % 2]}.\n" for i in range(200))
    story = facts + "201 Where is Mary?\toffice\t200\n"
    for split in ("train", "test"):
        (tmp_path / f"qa1_x_{split}.txt").write_text(story * 20)
    task = make(facts=str(tmp_path), length=2048)
    assert task.batch("train", 0, 0, 2).tokens.shape == (2, 2048)


def test_answers_have_one_width_in_every_batch() -> None:
    task = make(tokenizer="bytes", length=512)
    widths = {task.batch("train", seed, i, 2).targets.shape for seed in range(3) for i in range(5)}
    assert len(widths) == 1


def test_the_floor_is_what_frequencies_of_answers_reach() -> None:
    task = make()
    assert task.floors()["answers_alone"] == pytest.approx(math.log(6), rel=0.02)
    facts = task.describe()
    assert json.loads(json.dumps(facts)) == facts


def test_what_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no files qa1_\*_train.txt"):
        make(facts=str(tmp_path))
    (tmp_path / "qa1_x_train.txt").write_text("Mary moved.\n")
    (tmp_path / "qa1_x_test.txt").write_text("1 Mary moved.\n")
    with pytest.raises(DataError, match=r"line 1 \('Mary moved.'\) has no number"):
        make(facts=str(tmp_path))
    (tmp_path / "qa1_x_train.txt").write_text("2 Where is Mary?\thall\t1\n")
    with pytest.raises(DataError, match="begins with line 2 of a story"):
        make(facts=str(tmp_path))
    with pytest.raises(DataError, match=r"64 tokens hold no question of"):
        make(tokenizer="bytes", length=64)
    with pytest.raises(SpecError, match="kind 1 only"):
        make(question=2)


def test_the_task_is_registered() -> None:
    assert isinstance(make_task(Babilong()), BabilongTask)
