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
    assert "one: 1 runs recorded" in said.out
    first = page.read_text()
    assert "- one: `playground train specs/tasks/one.yaml`, seed 0: 20" in first
    again = json.loads(call(capsys, "results", store, "--root", root, "--json").out)
    assert again["changed"] == []
    assert page.read_text() == first


def test_output_is_added_by_name(root: Path, capsys: pytest.CaptureFixture[str]):
    (root / "out.json").write_text(json.dumps([{"length": 2048, "other": 1}]))
    said = call(capsys, "results", "--root", root, "--add", f"two={root / 'out.json'}")
    assert "two: 1 rows recorded" in said.out
    record = json.loads((root / "docs/results/runs/two.json").read_text())
    assert record["rows"] == [{"length": 2048}]
    assert record["about"].keys() == {"date", "machine", "versions"}
    assert "| 2048 |" in (root / "docs/results.md").read_text()
    for wrong in ("three=x", "one=x", "two=none.json"):
        assert call(capsys, "results", "--root", root, "--add", wrong).code == 2
