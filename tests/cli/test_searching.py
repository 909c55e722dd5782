"""The verb search, from a YAML to its report, with real workers."""

import json
from pathlib import Path

import pytest

from tests.cli.command import call

Capture = pytest.CaptureFixture[str]

pytest.importorskip("optuna", reason="optuna is an extra")

MODELS = Path(__file__).parents[2] / "specs" / "models"
SEARCH = f"""
kind: search
base: {{extends: {MODELS}/delta.yaml, dim: 16, depth: 1, vocab: 64, block.memory.heads: 2}}
task: {{kind: mqar, vocab: 64, length: 16, pairs: 2, test_examples: 8}}
train: {{steps: 2, batch: 2, eval_every: 2, checkpoint_every: 2}}
space: {{block.memory.conv: [0, 2, 4], train.optim.lr: {{low: 1e-3, high: 1e-2, log: true}}}}
limits: {{params: [1, 1e5]}}
sampler: {{kind: nsga2, population: 2, trials: 2}}
rungs: [{{suite: static}}, {{seeds: 1, keep: 0.5}}, {{suite: confirm, seeds: 2}}]
run: {{workers: 1}}
device: cpu
compile: false
"""


def test_a_search_is_counted_carried_out_and_reported(tmp_path: Path, capsys: Capture):
    spec = tmp_path / "tiny.yaml"
    spec.write_text(SEARCH)
    dry = call(capsys, "search", spec, "--dry-run", "--json", "--out", tmp_path)
    assert json.loads(dry.out)["runs"] == 2 * (2 + 2)
    assert not (tmp_path / "runs").exists()
    said = call(capsys, "search", spec, "--json", "--out", tmp_path)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["front"]
    assert {row["arm"] for row in found["finalists"]} == {"nsga2", "random"}
    assert all(Path(file).is_file() for file in found["files"])
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert len(written) == 8
    again = call(capsys, "search", spec, "--out", tmp_path)
    assert "Gain over an equal budget of chance" in again.out
    (line, *_) = (line for line in again.out.splitlines() if line.startswith("front, "))
    assert line.split(": ", 1)[0] == f"front, {found['front'][0]}"
    assert "block.memory.conv: " in line and "train.optim.lr: 0.0" in line
    assert written == {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/*/result.json")}
    for named in ("tiny", spec, tmp_path / "searches" / "tiny"):
        assert call(capsys, "report", named, "--out", tmp_path).out == again.out
    said = call(capsys, "report", "tiny", "--format", "tex", "--out", tmp_path)
    assert said.code == 2 and "a search is reported as" in said.err


def test_a_spec_of_another_kind_is_refused(tmp_path: Path, capsys: Capture):
    said = call(capsys, "search", MODELS / "delta.yaml", "--out", tmp_path)
    assert said.code == 2
    assert "kind model" in said.err
