"""Checkpoints: whole or passed over, the last two kept."""

from pathlib import Path

import pytest
import torch

from playground.train.checkpoint import Checkpoint, Checkpoints


def save(kept: Checkpoints, step: int) -> Path:
    tensors = {"w": torch.full((3, 2), float(step)), "n": torch.tensor(step)}
    return kept.save(Checkpoint(step=step, tensors=tensors, numbers={"loss": 0.1 + step}))


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    tensors = {"a": torch.randn(4, 5, dtype=torch.float64), "b": torch.tensor(7, dtype=torch.int32)}
    kept.save(Checkpoint(step=3, tensors=tensors, numbers={"x": 0.1, "y": [1, 2]}))
    found, notes = kept.load()
    assert found is not None
    assert (found.step, dict(found.numbers), notes) == (3, {"x": 0.1, "y": [1, 2]}, [])
    assert all(torch.equal(found.tensors[n], t) for n, t in tensors.items())
    assert all(found.tensors[n].dtype == t.dtype for n, t in tensors.items())


def test_views_of_one_storage_are_saved_each_by_itself(tmp_path: Path):
    whole = torch.arange(6.0)
    Checkpoints(tmp_path).save(
        Checkpoint(
            step=1, tensors={"a": whole, "b": whole[2:4], "c": whole.view(2, 3).T}, numbers={}
        )
    )
    found, _ = Checkpoints(tmp_path).load()
    assert found is not None
    assert torch.equal(found.tensors["c"], whole.view(2, 3).T)


def test_only_the_last_two_are_kept(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3, 10):
        save(kept, step)
    assert kept.steps() == [3, 10]
    assert len(list(tmp_path.iterdir())) == 4


def test_later_ones_are_forgotten_where_training_goes_on_before_them(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    for step in (30, 40):
        save(kept, step)
    kept.drop_after(30)
    for step in (31, 32):
        save(kept, step)
    assert kept.steps() == [31, 32]
    kept.drop_after(0)
    assert kept.steps() == [] == list(tmp_path.iterdir())


def test_without_checkpoints_there_is_nothing_to_load(tmp_path: Path):
    assert Checkpoints(tmp_path / "none").load() == (None, [])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone", "empty json", "not json"])
def test_a_damaged_checkpoint_is_passed_over_with_a_note(tmp_path: Path, damage: str):
    kept = Checkpoints(tmp_path)
    save(kept, 1)
    path = save(kept, 2)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-5])
    elif damage == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("" if damage == "empty json" else "{1}")
    found, notes = kept.load()
    assert found is not None
    assert found.step == 1
    assert len(notes) == 1
    assert "step 2" in notes[0]


def test_tensors_without_their_numbers_do_not_count(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    save(kept, 1)
    save(kept, 2).with_suffix(".json").unlink()
    found, notes = kept.load()
    assert found is not None
    assert (found.step, notes) == (1, [])
