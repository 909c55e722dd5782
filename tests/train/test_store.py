"""The run store: whole files, rows that survive a kill, one process per run."""

import json
from pathlib import Path
from typing import Literal

import pytest

from playground.errors import PlaygroundError
from playground.files import read_json, replace_file, write_json
from playground.train import Result, RunBusy, RunFolder, RunStore

Over = Literal["ok", "failed"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunStore(tmp_path).run("abc")
    run.describe(spec_yaml="kind: run\n", resolved={}, env={})
    return run


def test_rows_come_back_in_order(folder: RunFolder):
    rows = [{"kind": "train", "step": step, "loss": 1 / (step + 1)} for step in range(5)]
    for row in rows:
        folder.append(row)
    assert folder.rows() == rows


@pytest.mark.parametrize("torn", [b'{"kind": "tr', b'{"kind": "train", "step": 3}', b"\xff"])
def test_a_torn_last_line_is_dropped(folder: RunFolder, torn: bytes):
    folder.append({"step": 1})
    with folder.metrics_path.open("ab") as file:
        file.write(torn)
    assert folder.rows() == [{"step": 1}]
    folder.rewind(1)
    folder.append({"step": 2})
    assert folder.rows() == [{"step": 1}, {"step": 2}]


def test_rewinding_drops_later_steps_and_keeps_notes(folder: RunFolder):
    for row in ({"step": 1}, {"kind": "note", "text": "x"}, {"step": 2}, {"step": 3}):
        folder.append(row)
    folder.rewind(2)
    assert folder.rows() == [{"step": 1}, {"kind": "note", "text": "x"}, {"step": 2}]


def test_a_result_comes_back_equal_and_reopening_forgets_it(folder: RunFolder):
    result = Result(
        fingerprint="abc", status="failed", reason="not a number", metrics={"a": 1.5}, steps=3
    )
    assert folder.result() is None
    folder.finish(result)
    assert folder.result() == result
    folder.reopen()
    assert folder.result() is None


@pytest.mark.parametrize("size", [0, 4093, 4094, 4095, 8190, 8191, 10_000])
def test_a_json_of_any_size_comes_back_whole(tmp_path: Path, size: int):
    content = {"text": "ä" + "x" * size}
    write_json(tmp_path / "one.json", content)
    (tmp_path / "bare.json").write_text('"' + "x" * size + '"')  # of 4096 bytes and next to it
    assert read_json(tmp_path / "one.json") == content
    assert read_json(tmp_path / "bare.json") == "x" * size


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": "abc"}'])
def test_a_result_that_cannot_be_read_counts_as_none(folder: RunFolder, content: str):
    (folder.path / "result.json").write_text(content)
    assert folder.result() is None


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_store_reads_a_status_from_a_whole_file_only(folder: RunFolder, status: Over):
    store, path = RunStore(folder.path.parent), folder.path / "result.json"
    assert store.status("abc") is None
    reason = 'NaN in "status": "ok"}'
    folder.finish(Result(fingerprint="abc", status=status, reason=reason))
    assert store.status("abc") == status
    path.write_text(json.dumps(read_json(path)))
    assert store.status("abc") == status
    path.write_text(path.read_text()[:-1])
    assert store.status("abc") is None  # and says so
    path.write_text(json.dumps({"status": status, "fingerprint": "abc"}))  # by another hand
    assert store.status("abc") == status


def test_a_run_is_held_by_one_at_a_time(folder: RunFolder):
    again = RunFolder(folder.path)
    with folder.locked(), pytest.raises(RunBusy), again.locked():
        pass
    with again.locked():
        pass


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, fail)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "1\n")]


def test_a_run_is_found_by_the_beginning_of_its_fingerprint(tmp_path: Path):
    store = RunStore(tmp_path)
    for name in ("abc1", "abd2"):
        store.run(name).describe(spec_yaml="", resolved={}, env={})
    assert store.find("abd").fingerprint == "abd2"
    with pytest.raises(PlaygroundError, match="several"):
        store.find("ab")
    with pytest.raises(PlaygroundError, match="no such run"):
        store.find("x")
    with pytest.raises(PlaygroundError, match="playground train"):
        RunStore(tmp_path / "none").find("x")
