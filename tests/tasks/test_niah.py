"""Needles: examples are RULER's, lengths are exact, and the oracle is perfect at every length."""

import json
import math
import os
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

from playground.errors import DataError, SpecError
from playground.spec.tasks import Niah
from playground.tasks import evaluate, make_task
from playground.tasks.haystack import Haystack
from playground.tasks.niah import NiahTask, Oracle

DATA = Path(os.environ.get("PLAYGROUND_DATA", "/nowhere"))
KINDS = {
    "S-NIAH-1": {},
    "S-NIAH-2": {"haystack": "text"},
    "S-NIAH-3": {"haystack": "text", "value": "uuid"},
    "sentence": {"haystack": "sentence", "template": "short", "length": 160},
    "short": {"template": "short", "length": 128},
}


def make(**fields: object) -> NiahTask:
    return NiahTask(Niah(**{"test_examples": 10, **fields}))  # type: ignore[arg-type]


def texts(task: NiahTask, split: str = "train", size: int = 20) -> list[str]:
    tokens = task.batch(split, 0, 0, size).tokens.numpy()
    return [task.tokenizer.decode(row) for row in tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_solves_every_split_and_length(kind: str) -> None:
    task = make(**KINDS[kind], test_lengths=(640, 1200))
    for split in ("train", "val", "test"):
        scores = evaluate(task, Oracle(task), split)
        assert scores["solved"] == scores["accuracy"] == 1.0
        assert scores["loss"] < 1e-6
    parts = {name for name in scores if name.startswith("solved@1200/")}
    possible = {f"solved@1200/d{depth}" for depth in (10, 30, 50, 70, 90)}
    assert parts and parts <= possible
    assert parts == possible or KINDS[kind].get("haystack") == "text"  # long sentences


@pytest.mark.parametrize("length", [512, 2000])
def test_a_depth_is_where_the_needle_stands(length: int) -> None:
    task = make(haystack="text", template="short", length=length)
    made = task._examples("test", 0, 0, 60, length)
    for row, targets, group in zip(made.tokens, made.targets, made.groups, strict=True):
        value = task.tokenizer.decode(targets[targets >= 0]).strip()
        place = task.tokenizer.decode(row).index(value) / length  # first in the needle, then asked
        assert abs(place - int(group[1:]) / 100) < 0.2


def test_answers_have_one_width_in_every_batch() -> None:
    task = make(template="short", length=128)
    widths = {task.batch("train", seed, 0, 4).targets.shape for seed in range(5)}
    assert len(widths) == 1


@pytest.mark.parametrize("kind", ["S-NIAH-1", "S-NIAH-2", "S-NIAH-3"])
def test_an_example_is_rulers_prompt_and_ends_with_the_value(kind: str) -> None:
    task = make(**KINDS[kind], length=700)
    word = "uuid" if kind == "S-NIAH-3" else "number"
    for text in texts(task):
        needle = re.search(rf"One of the special magic {word}s for (\S+) is: (\S+)\.", text)
        assert needle is not None
        key, value = needle.groups()
        assert re.fullmatch("[a-z]+-[a-z]+", key)
        if word == "uuid":
            assert uuid.UUID(value).version == 4
        else:
            assert re.fullmatch("[1-9][0-9]{6}", value)
        assert text.startswith(f"A special magic {word} is hidden within the following text. Make")
        assert text.endswith(
            f"\nWhat is the special magic {word} for {key} mentioned in the provided text? "
            f"The special magic {word} for {key} mentioned in the provided text is {value}"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_examples_have_the_length_and_are_asked_for_every_token_of_the_value(kind: str) -> None:
    task = make(**KINDS[kind])
    batch = task.batch("train", 0, 3, 20)
    assert batch.tokens.shape == (20, task.spec.length)
    assert batch.positions is not None
    assert torch.equal(batch.tokens.gather(1, batch.positions + 1), batch.targets)
    assert batch.targets.shape[1] == (36 if KINDS[kind].get("value") == "uuid" else 7)


def test_needles_stand_where_sentences_start_at_all_depths() -> None:
    task = make(haystack="text", length=4000)
    found = [text.index("One of the special") for text in texts(task, size=200)]
    before = [text[at - 2] for text, at in zip(texts(task, size=200), found, strict=True)]
    assert set(before) <= set(".s")  # a sentence ends there, or the intro ("afterwards.")
    share = np.histogram(found, bins=4, range=(130, 3700))[0] / 200
    assert abs(share - 0.25).max() < 0.1


def test_a_given_depth_is_kept() -> None:
    for depth, low, high in [(0, 0.0, 0.2), (50.0, 0.3, 0.6), (100, 0.75, 1.0)]:
        task = make(depth=depth, length=2000)
        for text in texts(task):
            assert low <= text.index("One of the special") / 2000 <= high
        assert not [s for s in evaluate(task, Oracle(task), "test") if "/d" in s]


def test_several_needles_are_all_asked_for_in_training_only() -> None:
    task = make(template="short", needles=3, length=512)
    for text in texts(task):
        pairs = re.findall(r"of (\S+) is (\d{7})\.", text)
        assert len(pairs) == 3
        asked = re.findall(r"\nThe magic number of (\S+) is (\d{7})(?=\n|$)", text)
        assert sorted(asked) == sorted(pairs)
    batch = task.batch("train", 0, 0, 20)
    assert batch.positions is not None
    assert torch.equal(batch.tokens.gather(1, batch.positions + 1), batch.targets)
    assert batch.targets.shape == (20, 21)
    assert task.batch("val", 0, 0, 20).targets.shape == (20, 7)


def test_training_lengths_come_in_turns_that_no_seed_changes() -> None:
    task = make(template="short", length=256, train_lengths=(128, 256))
    lengths = [task.batch("train", 0, i, 2).tokens.shape[1] for i in range(40)]
    assert set(lengths) == {128, 256}
    assert abs(lengths.count(128) - 20) < 10
    assert lengths == [task.batch("train", 5, i, 2).tokens.shape[1] for i in range(40)]
    assert task.batch("val", 0, 1, 2).tokens.shape[1] == 256


def test_training_lengths_can_join_one_after_another() -> None:
    task = make(template="short", length=256, train_lengths=(128, 192, 256), grow_every=10)
    lengths = [task.batch("train", 0, i, 2).tokens.shape[1] for i in range(60)]
    assert [set(lengths[i : i + 10]) for i in (0, 10)] == [{128}, {128, 192}]
    assert set(lengths[20:]) == {128, 192, 256}
    with pytest.raises(SpecError, match=r"grow_every: .*nothing to grow"):
        make(template="short", grow_every=10)
    with pytest.raises(SpecError, match=r"grow_every: -1"):
        make(template="short", train_lengths=(128, 192), grow_every=-1)


def test_all_tokens_can_be_scored_in_training() -> None:
    task = make(loss="all")
    batch = task.batch("train", 0, 0, 3)
    assert batch.positions is None
    assert torch.equal(batch.targets[:, :-1], batch.tokens[:, 1:])
    assert (batch.targets[:, -1] == -100).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_does_not_depend_on_the_batch_size(kind: str) -> None:
    task = make(**KINDS[kind])
    whole = task.batch("train", 7, 0, 12)
    parts = [task.batch("train", 7, i, 3) for i in range(4)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_seeds_and_splits_share_no_example_and_texts_no_sentence() -> None:
    task = make(haystack="text", length=600)
    rows = [
        {tuple(row) for row in task.batch(split, seed, 0, 100).tokens.tolist()}
        for split, seed in [("train", 0), ("train", 1), ("val", 0), ("test", 0)]
    ]
    assert len(set().union(*rows)) == 400
    parts = task._haystacks
    assert len({parts[split].tokens.tobytes() for split in parts}) == 3


def test_a_haystack_is_repeated_where_it_ends() -> None:
    stack = Haystack(tokens=np.arange(10), starts=np.array([0, 4, 7]), fixed=False)
    tokens, starts = stack.cut(5, 0.5)
    assert tokens.tolist() == [4, 5, 6, 7, 8]
    assert starts.tolist() == [0, 3]
    tokens, starts = stack.cut(16, 0.9)
    assert tokens.tolist() == [*range(7, 10), *range(10), 0, 1, 2]
    assert starts.tolist() == [0, 3, 7, 10, 13]


def test_a_guess_among_all_values_scores_its_floor() -> None:
    assert make().floors()["any_value"] == pytest.approx(math.log(9e6) / 7)
    floor = make(haystack="text", value="uuid").floors()["any_value"]
    assert floor == pytest.approx(122 * math.log(2) / 36)


def test_the_data_decides_its_identity_and_facts_are_plain() -> None:
    shas = {make(haystack=haystack).data_sha() for haystack in ("noise", "sentence", "text")}
    assert len(shas) == 3
    facts = make().describe()
    assert json.loads(json.dumps(facts)) == facts


def test_what_does_not_fit_is_an_error_with_the_least_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"task.length: 300 tokens .* Write at least 3\d\d"):
        make(length=300)
    with pytest.raises(DataError, match=r"task.test_lengths: 64 tokens"):
        make(test_lengths=(64,))
    with pytest.raises(DataError, match=r"task.length: 512 tokens"):
        make(needles=8)
    with pytest.raises(DataError, match=r"task.words nowhere: there is no such"):
        make(words="nowhere")
    with pytest.raises(DataError, match=r"adjectivelist.txt cannot be read"):
        make(words=str(tmp_path))


@pytest.mark.skipif(not (DATA / "ruler").is_dir(), reason="PLAYGROUND_DATA has no ruler/")
def test_rulers_words_and_a_book() -> None:
    task = make(
        words="ruler", haystack="text", corpus="warandpeace/warandpeace.txt", test_lengths=(4096,)
    )
    assert evaluate(task, Oracle(task), "test")["solved"] == 1.0
    assert task.describe()["keys"] == "912 adjectives x 6782 nouns"


def test_the_task_is_registered() -> None:
    assert isinstance(make_task(Niah()), NiahTask)
