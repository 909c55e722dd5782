"""What `check` says a run costs is what the run, once trained, has recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import call

RUN = """
kind: run
model: {vocab: 32, dim: 16, depth: 1, block: {kind: lmm, memory: {kind: delta, heads: 2}}}
task: {kind: mqar, vocab: 32, length: 24, pairs: 2, test_examples: 4}
train: {steps: 1, batch: 2, eval_batches: 1}
compile: false
"""


def test_check_counts_at_the_length_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(*words: object) -> dict[str, Any]:
        said = call(capsys, *words, "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    file = tmp_path / "run.yaml"
    file.write_text(RUN)
    said, trained = found("check", file), found("train", file, "--out", tmp_path)
    assert said["flops_per_token"] == trained["flops_per_token"]
    assert said["params"] == trained["params"]
    longer = found("check", file, "task.length=64")
    assert longer["flops_per_token"] != said["flops_per_token"]


@pytest.mark.parametrize("verb", ["check", "train", "sweep"])
def test_weights_that_do_not_fit_are_refused_before_training(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RUN
    if verb != "train":
        run = RUN.replace("kind: run", "kind: sweep").replace("model:", "base:")
        run += "variants: {wide: {model.dim: 32}}\n"
    file = tmp_path / "spec.yaml"
    file.write_text(run + "evaluate: [{block.memory.heads: 1}]\n")
    said = call(capsys, verb, file, *(["--out", tmp_path] if verb != "check" else []))
    assert said.code == 2
    assert "evaluate.0: under heads=1 the model has other weights" in said.err
    assert not (tmp_path / "runs").exists()


def test_check_says_which_data_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RUN.replace("{kind: mqar, vocab: 32, length: 24, pairs: 2, test_examples: 4}", "{task}")
    run, sweep = tmp_path / "run.yaml", tmp_path / "sweep.yaml"
    run.write_text(text.replace("{task}", "{kind: dna, source: none.csv}"))
    sweep.write_text(
        text.replace("kind: run", "kind: sweep")
        .replace("model:", "base:")
        .replace("{task}", "{kind: babilong, facts: gone/en, corpus: hf:books}")
        .replace("vocab: 32", "vocab: 4096")
        + "variants: {other: {task.corpus: gone.txt}}\n"
    )
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path / "data"))
    said = call(capsys, "check", run)
    assert said.code == 0
    line = "data that is not here, nor under $PLAYGROUND_DATA: "
    assert f"{line}task.source none.csv\n" in said.out
    assert f"{line}task.facts gone/en, task.corpus gone.txt\n" in call(capsys, "check", sweep).out
    (tmp_path / "data/gone").mkdir(parents=True)
    (tmp_path / "data/gone/en").mkdir()
    found = json.loads(call(capsys, "check", sweep, "--json").out)
    assert found["missing_data"] == [{"field": "task.corpus", "name": "gone.txt"}]
    assert "not here" not in call(capsys, "check", run, "task.source=generated").out
