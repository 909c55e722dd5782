"""What would fail only after hours is refused before: by `check` as by the verb that runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from playground.cli.checking import check_metrics, check_tuned, check_variants
from playground.spec import SweepSpec, load
from tests.cli.command import call

Capture = pytest.CaptureFixture[str]
SPECS = Path(__file__).parents[2] / "specs"
BASE = "{vocab: 256, dim: 16, depth: 1, block: {kind: lmm, memory: {kind: delta, heads: 2}}}"
MQAR = "{kind: mqar, vocab: 32, length: 12, pairs: 2, test_examples: 4}"
SWEEP = f"""
kind: sweep
base: {BASE}
task: {MQAR}
train: {{steps: 2, batch: 2, eval_batches: 1}}
variants: {{no-conv: {{block.memory.conv: 0}}}}
seeds: 2
device: cpu
compile: false
"""
SEARCH = f"""
kind: search
base: {{extends: {SPECS}/models/delta.yaml, dim: 16, depth: 1, vocab: 256, block.memory.heads: 2}}
task: {MQAR}
train: {{steps: 2, batch: 2}}
space: {{block.memory.conv: [0, 2], train.optim.lr: {{low: 1e-3, high: 1e-2, log: true}}}}
sampler: {{population: 2, trials: 4}}
rungs: [{{suite: static}}, {{seeds: 1, keep: 0.5}}, {{suite: confirm, seeds: 2}}]
device: cpu
compile: false
"""


def tune(select: str = "val/loss", values: str = "1e-3, 1e-2") -> str:
    return f"tune={{grid: {{train.optim.lr: [{values}]}}, seeds: 3, select: {select}}}"


def refused(capsys: Capture, *words: object) -> str:
    said = call(capsys, *words)
    assert said.code == 2, said
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([tune("val/los")], "tune.select: no run of 'full' has 'val/los'. Did you mean 'val/loss'"),
        ([tune("val/bits_per_byte")], "tune.select: no run of 'full' has 'val/bits_per_byte'"),
        ([tune(values="1e-3, -1")], "train.optim.lr: -1.0 is not above 0"),
        ([tune(values="1e-3, x")], "train.optim.lr: 'x'"),
        (["report.metrics=[test/los]"], "report.metrics: no run has 'test/los'. Did you mean"),
        (["report.metrics=[params]"], "report.metrics: no run has 'params'"),
        (["report.metrics=[test/loss@length=24]"], "no run has 'test/loss@length=24'"),
        (["report.metrics=[test/bits_per_byte]"], "no run has 'test/bits_per_byte'"),
    ],
)
def test_tuning_and_report_are_checked_before_anything_runs(
    words: list[str], problem: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    for verb in (["check"], ["sweep", "--dry-run", "--out", tmp_path]):
        assert problem in refused(capsys, *verb, file, *words)
    assert not (tmp_path / "runs").exists()


def test_scores_that_runs_will_have_are_taken(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    metrics = "report.metrics=[test/loss@length=24, test/accuracy@16x2, val/solved, tokens_per_s]"
    words = (metrics, "evaluate=[{task.length: 24}]", "task.suite=[[16, 2]]", tune("val/accuracy"))
    assert call(capsys, "check", file, *words).code == 0


def test_nothing_is_tuned_or_searched_on_the_text_of_the_test(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "text.txt").write_text("one and two and three are six\n" * 200)
    text = "{kind: text, corpus: text.txt, length: 16, split: [0.9, 0.1, 0.0]}"
    sweep, search = tmp_path / "sweep.yaml", tmp_path / "search.yaml"
    sweep.write_text(SWEEP.replace(MQAR, text))
    search.write_text(SEARCH.replace(MQAR, text))
    problem = "task.split: the test part is the same text as val"
    for words in (("check", sweep, tune()), ("sweep", sweep, "--dry-run", tune())):
        assert f"{problem}, and values would be tuned on it" in refused(capsys, *words)
    for words in (("check", search), ("search", search, "--dry-run")):
        assert f"{problem}, and candidates would be chosen by it" in refused(capsys, *words)
    assert call(capsys, "check", sweep).code == 0


def test_check_counts_the_runs_that_tune(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    assert "2 variants, 4 runs and 12 to tune by" in call(capsys, "check", file, tune()).out
    found = json.loads(call(capsys, "check", file, tune(), "--json").out)
    dry = call(capsys, "sweep", file, "--dry-run", tune(), "--json", "--out", tmp_path)
    assert found["tuning"] == json.loads(dry.out)["tuning"] == 12
    assert "to tune by" not in call(capsys, "check", file).out


@pytest.mark.parametrize(
    "file", sorted((SPECS / "sweeps").glob("*.yaml")), ids=lambda file: file.stem
)
def test_every_sweep_of_the_project_asks_for_scores_that_it_has(file: Path) -> None:
    sweep = load(file)
    assert isinstance(sweep, SweepSpec)
    runs = sweep.expand()
    check_metrics(sweep)
    check_variants(runs)
    check_tuned(sweep, runs)


def test_check_says_what_a_search_is_and_costs(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(SEARCH)
    said = call(capsys, "check", file)
    assert said.code == 0, said.err
    rows = {" ".join(line.split()) for line in said.out.splitlines()}
    assert "kind search" in rows
    assert "space block.memory.conv 0, 2" in rows
    assert "space train.optim.lr 0.001 to 0.01, by factors" in rows
    assert "rung 2 task mqar, tokens 48, seeds 2, keep 0.5000" in rows
    found = json.loads(call(capsys, "check", file, "--json").out)
    dry = json.loads(call(capsys, "search", file, "--dry-run", "--json").out)
    assert found["budget"] == {name: n for name, n in dry.items() if name != "missing_data"}
    assert found["budget"]["runs"] == 2 * (4 + 2 * 2)
    assert [rung["seeds"] for rung in found["rungs"]] == [1, 2]
    assert found["base_params"] > 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["objectives={val/lss: min}"], "objectives.val/lss: no run of task mqar has it"),
        (["objectives={val/bits_per_byte: min}"], "no run of task mqar has it, and rung 1 is of"),
        (["rungs=[{suite: mqar-mni}]"], "rungs.0.suite: 'mqar-mni' is no suite"),
    ],
)
def test_a_search_that_cannot_be_scored_is_refused_before_it(
    words: list[str], problem: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(SEARCH)
    for verb in (["check"], ["search", "--dry-run"], ["search", "--out", tmp_path]):
        assert problem in refused(capsys, *verb, file, *words)
    assert call(capsys, "check", file, "objectives={val/score: max}").code == 0


def test_data_that_is_not_here_is_named_by_field(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path / "data"))
    file = tmp_path / "search.yaml"
    file.write_text(SEARCH)
    rungs = "rungs=[{seeds: 1}, {seeds: 2, task: {kind: text, corpus: gone.txt, length: 16}}]"
    line = "data that is not here, nor under $PLAYGROUND_DATA: task.corpus gone.txt\n"
    for verb in (["check"], ["search", "--dry-run"]):
        said = call(capsys, *verb, file, rungs)
        assert said.code == 0, said.err
        assert line in said.out
        found: dict[str, Any] = json.loads(call(capsys, *verb, file, rungs, "--json").out)
        assert found["missing_data"] == [{"field": "task.corpus", "name": "gone.txt"}]


def test_check_says_what_this_machine_would_refuse(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    said = call(capsys, "check", file, "lowering=triton")
    assert said.code == 0, said.err
    (line,) = (line for line in said.out.splitlines() if line.startswith("not on this machine: "))
    assert "needs CUDA" in line
    assert "not on this machine" not in call(capsys, "check", file).out
