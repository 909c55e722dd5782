"""Polyphonic music: the published splits and floor, examples, scoring, and the generated source."""

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from playground.errors import DataError, SpecError
from playground.spec.tasks import Music
from playground.spec.tasks.music import KEYS
from playground.tasks import MusicTask, evaluate
from playground.tasks.losses import IGNORE
from playground.tasks.piano_rolls import load_rolls, next_chances

JSB = "polymusic/JSB_Chorales.npz"
DATA = Path(os.environ.get("PLAYGROUND_DATA", "/nowhere"))
needs_jsb = pytest.mark.skipif(not (DATA / JSB).is_file(), reason=f"no $PLAYGROUND_DATA/{JSB}")


def small(**fields) -> MusicTask:
    return MusicTask(Music(**{"length": 16, **fields}))


class Says:
    """A model that is a function of its frames."""

    def __init__(self, logits) -> None:
        self.logits = logits

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.logits(tokens)


@needs_jsb
def test_the_published_splits_and_floor() -> None:
    task = MusicTask(Music(source=JSB))
    facts = task.describe()
    assert facts["pieces"] == {"train": 229, "val": 76, "test": 77}
    assert facts["frames"] == {"train": 13_807, "val": 4_602, "test": 4_725}
    assert facts["scored_frames"]["test"] == 4_725 - 77
    assert task.floors()["key_frequency"] == pytest.approx(11.09, abs=0.005)


@needs_jsb
def test_both_forms_of_the_file_hold_the_same_pieces() -> None:
    packed, cells = load_rolls(JSB), load_rolls(JSB.replace("npz", "mat"))
    for split in packed.parts:
        for one, other in zip(packed.parts[split], cells.parts[split], strict=True):
            assert np.array_equal(one, other)


def test_targets_are_the_next_frames_and_what_is_behind_the_end_is_not_scored() -> None:
    task = small(length=64)  # longer than a generated piece
    batch = task.batch("train", 0, 0, 4)
    assert batch.tokens.shape == batch.targets.shape == (4, 64, KEYS)
    assert torch.equal(batch.tokens[:, 1:47], batch.targets[:, :46])
    assert (batch.targets[:, 47:] == IGNORE).all()
    assert not batch.tokens[:, 47:].any()
    assert task.loss.scored(batch.targets) == 4 * 47


@pytest.mark.parametrize("transpose", [0, 3])
def test_examples_do_not_depend_on_the_size_of_a_batch(transpose: int) -> None:
    task = small(transpose=transpose)
    whole = task.batch("train", 5, 0, 12)
    for size in (1, 4, 6):
        parts = [task.batch("train", 5, i, size) for i in range(12 // size)]
        assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
    assert not torch.equal(task.batch("train", 6, 0, 12).tokens, whole.tokens)


def test_every_pass_has_every_piece_once() -> None:
    task = small(length=64)
    count = len(task.rolls.parts["train"])
    every = {roll[:-1].tobytes() for roll in task.rolls.parts["train"]}
    orders = []
    for turn in range(2):
        tokens = task.batch("train", 0, turn, count).tokens[:, :47].byte().numpy()
        orders.append([row.tobytes() for row in tokens])
        assert set(orders[-1]) == every
    assert orders[0] != orders[1]


def test_transposed_pieces_are_moved_by_all_steps_and_only_in_training() -> None:
    plain, moved = small(length=64), small(length=64, transpose=2)
    one, other = plain.batch("train", 0, 0, 200), moved.batch("train", 0, 0, 200)
    steps = set()
    for before, after in zip(one.tokens.numpy(), other.tokens.numpy(), strict=True):
        found = [s for s in range(-2, 3) if np.array_equal(np.roll(before, s, axis=1), after)]
        assert len(found) == 1
        steps |= set(found)
    assert steps == {-2, -1, 0, 1, 2}
    same = plain.batch("val", 0, 0, 8), moved.batch("val", 0, 0, 8)
    assert torch.equal(same[0].tokens, same[1].tokens)


def test_a_split_is_scored_whole_piece_by_piece() -> None:
    task = small()
    pieces = task.rolls.parts["test"]
    scores = evaluate(task, Says(lambda tokens: torch.zeros_like(tokens)), "test")
    assert scores["loss"] == pytest.approx(KEYS * np.log(2), rel=1e-6)
    assert scores["tokens"] == sum(len(piece) - 1 for piece in pieces)
    again = evaluate(task, Says(lambda tokens: tokens * 4 - 6), "test")
    logits = np.concatenate([piece[:-1] * 4.0 - 6.0 for piece in pieces])
    answers = np.concatenate([piece[1:] for piece in pieces])
    wanted = (np.logaddexp(0, logits) - answers * logits).sum(axis=1).mean()
    assert again["loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_rules_of_the_generated_source_beat_the_floor_by_far() -> None:
    """What an oracle says that sees one frame: it has no answer to beat, a chance is a chance."""
    task = small()
    total = frames = 0
    for piece in task.rolls.parts["test"]:
        for before, after in itertools.pairwise(piece):
            chances = next_chances(before).clip(1e-6, 1 - 1e-6)
            total -= np.where(after, np.log(chances), np.log1p(-chances)).sum()
            frames += 1
            assert chances[after.astype(bool)].min() > 0.01  # nothing happens that has no chance
    assert total / frames < 0.55 * task.floors()["key_frequency"]


def test_a_spec_that_cannot_be_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="length"):
        Music(length=1)
    with pytest.raises(SpecError, match="transpose"):
        Music(transpose=13)
    with pytest.raises(DataError, match="no such file"):
        MusicTask(Music(source="nowhere.npz"))
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"holds no piano rolls.*Name a \.mat or \.npz"):
        MusicTask(Music(source=str(tmp_path / "bad.npz")))


@pytest.mark.parametrize("wrong", ["keys", "values", "lengths"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, wrong: str) -> None:
    roll = np.zeros((4, KEYS - 1 if wrong == "keys" else KEYS), np.uint8)
    path = tmp_path / ("a.npz" if wrong == "lengths" else "a.mat")
    names = ("traindata", "validdata", "testdata")
    if wrong == "lengths":
        packed = {name: np.packbits(roll, axis=1) for name in names}
        np.savez(path, **packed, **{f"{name}_len": np.array([3]) for name in names})
    else:
        from scipy.io import savemat

        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = roll + (2 if wrong == "values" else 0)
        savemat(path, dict.fromkeys(names, cell))
    with pytest.raises(DataError, match="holds no piano rolls"):
        MusicTask(Music(source=str(path)))


def test_the_identity_is_of_the_data(tmp_path: Path) -> None:
    task = small()
    assert task.data_sha() == small(length=20).data_sha()
    assert replace(task.spec, length=20) != task.spec


def test_rolls_of_more_keys_than_a_piano_are_refused(tmp_path: Path) -> None:
    wide = np.zeros((40, 128), np.uint8)
    wide[:, 100] = 1
    parts = {}
    for name in ("traindata", "validdata", "testdata"):
        parts |= {name: np.packbits(wide, axis=1), f"{name}_len": np.array([40])}
    np.savez(tmp_path / "midi.npz", **parts)
    with pytest.raises(DataError, match="is not of 88 keys in 11 bytes"):
        MusicTask(Music(source=str(tmp_path / "midi.npz")))


def test_an_empty_file_holds_no_piano_rolls(tmp_path: Path) -> None:
    for name in ("a.npz", "a.mat"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match="holds no piano rolls"):
            MusicTask(Music(source=str(tmp_path / name)))
