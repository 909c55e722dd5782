"""Two runs side by side."""

from dataclasses import replace
from pathlib import Path

import pytest

from playground.errors import DataError
from playground.report.diff import differences
from playground.train import RunStore
from tests.train.small import RUN, run_with, trained


def test_two_runs_differ_in_what_was_changed_and_in_what_came_of_it(tmp_path: Path):
    first, one = trained(RUN, tmp_path)
    second, other = trained(replace(run_with(steps=6), seed=2), tmp_path)
    found = {(d.part, d.key): (d.first, d.second) for d in differences(one.path, other.path)}
    assert {key for part, key in found if part == "spec"} == {"seed", "train.steps"}
    assert found["spec", "train.steps"] == (12, 6)
    key = ("result", "metrics.test/loss")
    assert found[key] == (first.metrics["test/loss"], second.metrics["test/loss"])
    assert not {("result", key) for key in ("fingerprint", "began", "ended")} & found.keys()
    assert differences(one.path, one.path) == []


def test_a_run_that_is_not_over_has_no_result(tmp_path: Path):
    _, one = trained(RUN, tmp_path)
    (one.path / "result.json").rename(tmp_path / "kept.json")
    found = differences(one.path, one.path)
    assert found == []
    with pytest.raises(DataError, match=r"resolved.json"):
        differences(one.path, RunStore(tmp_path).run("nothing").path)
