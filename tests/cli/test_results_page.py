"""The verb results: from a store to records and a page, twice the same."""

import json
from pathlib import Path

import pytest

from tests.cli.command import call
from tests.cli.test_errors import SMALL

PAGE = """
title: R
about: A.
sections:
  - title: T
    about: B.
    experiments:
      one: {spec: specs/tasks/one.yaml, seeds: [0]}
      two: {command: playground eval x --json, columns: {length: tokens}}
    shown: [{metric: test/loss}, {metric: wall_s, title: minutes}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file, text in {
        "specs/tasks/one.yaml": SMALL + "compile: false\n",
        "docs/results/page.yaml": PAGE,
    }.items():
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    return tmp_path


def test_runs_are_collected_and_the_page_is_written(root: Path, capsys: pytest.CaptureFixture[str]):
    said = call(capsys, "results", "--root", root)
    assert said.code == 0, said.err
    page = root / "docs" / "results.md"
    assert page.read_text().count("not run yet") == 3
    store = root / "store"
    assert call(capsys, "train", root / "specs/tasks/one.yaml", "--out", store).code == 0
    said = call(capsys, "results", store, "--root", root)
    assert "one: 1 run recorded; 1 run, 1 new to the record" in said.out
    first = page.read_text()
    assert "- one: `playground train specs/tasks/one.yaml`, seed 0: 20" in first
    again = json.loads(call(capsys, "results", store, "--root", root, "--json").out)
    assert again["changed"] == []
    assert page.read_text() == first


def test_runs_are_compared_with_the_records_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    store = root / "store"
    assert call(capsys, "train", root / "specs/tasks/one.yaml", "--out", store).code == 0
    assert call(capsys, "results", store, "--root", root).code == 0
    file = root / "docs/results/runs/one.json"
    said = call(capsys, "results", store, "--root", root, "--compare")
    assert "one: 1 run, 1 of them the record's own" in said.out
    record = json.loads(file.read_text())
    record["runs"][0]["wall_s"] += 1.0  # as of another day
    file.write_text(json.dumps(record))
    said = call(capsys, "results", store, "--root", root, "--compare")
    assert "one: 1 run, 1 of them again: the record's scores, to the last digit" in said.out
    loss = record["runs"][0]["metrics"]["test/loss"]
    record["runs"][0]["metrics"]["test/loss"] = 2 * loss
    file.write_text(json.dumps(record))
    before = {path: path.read_bytes() for path in (root / "docs").rglob("*") if path.is_file()}
    said = call(capsys, "results", store, "--root", root, "--compare")
    assert f"within 5.0e-01 of the record's (seed 0: test/loss {loss:.6g} for" in said.out
    out = json.loads(call(capsys, "results", store, "--root", root, "--compare", "--json").out)
    assert out["runs"]["one"]["far"] == pytest.approx(0.5)
    after = {path: path.read_bytes() for path in (root / "docs").rglob("*") if path.is_file()}
    assert after == before
    assert call(capsys, "results", "--root", root, "--compare", "--add", "two=x").code == 2
    assert "no run or whole sweep" in call(capsys, "results", "--root", root, "--compare").out


def test_output_is_added_by_name(root: Path, capsys: pytest.CaptureFixture[str]):
    (root / "out.json").write_text(json.dumps([{"length": 2048, "other": 1}]))
    said = call(capsys, "results", "--root", root, "--add", f"two={root / 'out.json'}")
    assert "two: 1 row recorded" in said.out
    record = json.loads((root / "docs/results/runs/two.json").read_text())
    assert record["rows"] == [{"length": 2048}]
    assert record["about"].keys() == {"date", "machine", "versions"}
    assert "| 2048 |" in (root / "docs/results.md").read_text()
    for wrong in ("three=x", "one=x", "two=none.json"):
        assert call(capsys, "results", "--root", root, "--add", wrong).code == 2
