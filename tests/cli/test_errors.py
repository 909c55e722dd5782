"""Bad input: one paragraph on stderr, exit code 2, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from playground.errors import SpecError
from tests.cli.command import call
from tests.spec.mutations import Mutation, mutations, of_every_kind

Capture = pytest.CaptureFixture[str]


# with a task a model is a run, which `load` refuses and `check` takes
BROKEN = [m for m in mutations() if (m.load, m.words) != ("model.yaml", ("task.kind=text",))]


@pytest.mark.parametrize("mutation", of_every_kind(BROKEN), ids=lambda m: m.name)
def test_a_broken_spec_gives_one_paragraph_and_exit_code_2(
    mutation: Mutation, tmp_path: Path, capsys: Capture
):
    said = call(capsys, "check", mutation.write(tmp_path), *mutation.words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("SpecError: ")
    assert "Traceback" not in said.err
    assert "\n\n" not in said.err
    message = said.err.partition("\n  in: ")[0].replace(str(tmp_path), "")
    assert mutation.mentions in message


@pytest.mark.parametrize("verb", ["train", "explain", "sweep", "eval", "generate", "cite", "bench"])
def test_every_verb_that_takes_a_spec_refuses_it_alike(verb: str, tmp_path: Path, capsys: Capture):
    path = tmp_path / "bad.yaml"
    path.write_text("kind: model\ndimm: 4\n")
    said = call(capsys, verb, path)
    assert said.code == 2
    assert "Did you mean 'dim'?" in said.err
    assert said.err.strip().count("\n") <= 3


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("train", "missing.yaml"), "no such file"),
        (("train", "a" * 300 + ".yaml"), "too long"),
        (("report", "a" * 300), "sweep.json"),
        (("eval", "0123"), "no such run"),
        (("generate", "."), "no run and no exported model"),
        (("report", "nothing"), "sweep.json"),
        (("verify", "titanss"), "Did you mean 'titans'?"),
        (("verify", "titans", "chunksize=3"), "chunk_size"),
        (("verify", "none.py:Rule"), "no file"),
        (("verify", "delta", "--lowering", "chunkd"), "chunked"),
        (("verify", "rule.py"), "is a file, not a rule in it. Write rule.py:Class"),
        (("cite", "rule.py"), "is a file, not a rule in it. Write rule.py:Class"),
        (("cite", "nobody"), "no rule"),
        (("cite", "titans", "dim=3"), "dim=3: is an override of a spec, and none is named"),
        (("cite", "dim=3"), "dim=3: is an override. Name the spec"),
        (("send", "nope", "--to", "tensorbord"), "Did you mean 'tensorboard'?"),
        (("send", "nope", "--to", "tensorboard"), "no sweep in sweeps and no run in runs"),
        (("new", "titan-lmm"), "titans-lmm"),
    ],
)
def test_what_is_not_there_is_named(
    words: tuple[str, ...], problem: str, tmp_path: Path, capsys: Capture, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rule.py").write_text("")
    said = call(capsys, *words)
    assert said.code == 2, said
    assert problem in said.err
    assert "Traceback" not in said.err


def test_debug_shows_the_traceback(tmp_path: Path, capsys: Capture):
    with pytest.raises(SpecError):
        call(capsys, "check", tmp_path / "missing.yaml", "--debug")


def test_an_unknown_option_is_a_usage_error(capsys: Capture):
    said = call(capsys, "check", "x.yaml", "--nonsense")
    assert said.code == 2
    assert "--nonsense" in said.err


def test_a_spec_for_another_verb_is_told_which(tmp_path: Path, capsys: Capture):
    files = {
        name: tmp_path / f"{name}.yaml" for name in ("model", "run", "sweep", "search", "bench")
    }
    for name in ("run", "sweep", "bench"):
        call(capsys, "new", name, "--to", files[name])
    call(capsys, "new", "titans-lmm", "--to", files["model"])
    files["search"].write_text(SEARCH.format(model=files["model"]))
    takes = {"sweep": "sweep", "retry": "sweep", "search": "search", "bench": "bench"}
    right = {"model": "train", "run": "train"} | {name: name for name in takes if name != "retry"}
    for verb, kind in takes.items():
        for name in files.keys() - {kind}:
            said = call(capsys, verb, files[name])
            assert said.code == 2
            command = f"playground {right[name]}" + (" --retry" if verb == "retry" else "")
            assert f"is of kind {name}. Name a {kind}, or use `{command}`." in said.err
    for name in ("sweep", "search", "bench"):
        assert call(capsys, "train", files[name]).code == 2
        for words in ((), ("--trace", "x")):
            said = call(capsys, "explain", files[name], *words)
            assert said.code == 2
            assert f"is of kind {name}" in said.err and "a model or a run" in said.err


def test_without_a_compiler_compile_true_is_refused_and_no_compile_runs(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    run = tmp_path / "run.yaml"
    run.write_text(SMALL)
    said = call(capsys, "train", run, "--out", tmp_path)
    assert said.code == 2
    assert "--no-compile" in said.err
    assert "C++ compiler" in said.err
    assert call(capsys, "train", run, "--no-compile", "--out", tmp_path).code == 0
    said = call(capsys, "doctor")
    assert "Get one" in said.out


SEARCH = """
kind: search
base: {{extends: {model}}}
task: {{kind: text, length: 64}}
space: {{train.optim.lr: [1e-3, 3e-3]}}
"""

SMALL = """
kind: run
model:
  kind: model
  vocab: 32
  dim: 16
  depth: 1
  block: {kind: lmm, memory: {kind: delta, heads: 2}}
task: {kind: mqar, vocab: 32, length: 12, pairs: 2, test_examples: 4}
train: {steps: 2, batch: 2, eval_batches: 1}
"""


def test_the_reader_may_close_the_pipe(tmp_path: Path):
    code = "import sys; from playground.cli import main; sys.exit(main(['schema']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
