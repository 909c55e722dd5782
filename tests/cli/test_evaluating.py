"""Trained models are found, and what they are asked is what they were trained for."""

import errno
import importlib
import json
from pathlib import Path

import pytest

from tests.cli.command import call

Capture = pytest.CaptureFixture[str]
RUN = """
kind: run
model: {vocab: 256, dim: 16, depth: 1, block: {kind: lmm, memory: {kind: delta, heads: 2}}}
task: {kind: text, corpus: CORPUS, tokenizer: TOKENIZER, length: 16, stream_eval: false}
train: {steps: 1, batch: 2, eval_batches: 1}
"""
TEXT = "the cat sat on the mat\n" * 90


def trained(folder: Path, capsys: Capture, tokenizer: str = "chars") -> str:
    """The fingerprint of a run that was trained with --no-compile."""
    (folder / "a.txt").write_text(TEXT)
    corpus = str(folder / "a.txt")
    spec = RUN.replace("CORPUS", corpus).replace("TOKENIZER", tokenizer)
    (folder / "run.yaml").write_text(spec)
    said = call(capsys, "train", folder / "run.yaml", "--no-compile", "--out", folder)
    assert said.code == 0, said.err
    (run,) = (folder / "runs").glob("*/result.json")
    return run.parent.name


def refused(capsys: Capture, *words: object) -> str:
    said = call(capsys, *words)
    assert said.code == 2, said
    assert "Traceback" not in said.err
    return said.err


def test_a_run_without_compiling_is_found_by_its_spec(tmp_path: Path, capsys: Capture) -> None:
    run, spec = trained(tmp_path, capsys), tmp_path / "run.yaml"
    for more in ([], ["--no-compile"]):
        said = call(capsys, "eval", spec, *more, "--out", tmp_path)
        assert said.code == 0 and run in said.out, said.err
    assert call(capsys, "generate", spec, "--tokens", 2, "--out", tmp_path).code == 0
    said = refused(capsys, "eval", spec, "seed=5", "--no-compile", "--out", tmp_path)
    assert f"playground train {spec} seed=5 --no-compile --out {tmp_path}" in said


def test_a_run_that_failed_is_not_called_untrained(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    file = tmp_path / "run.yaml"
    file.write_text(RUN.replace("CORPUS", "a.txt").replace("TOKENIZER", "bytes"))
    words = ("train.optim.lr=1e30", "train.optim.clip=0", "train.steps=4", "compile=false")
    assert call(capsys, "train", file, *words, "--out", tmp_path).code == 1
    (run,) = (tmp_path / "runs").iterdir()
    for verb in ("eval", "generate"):
        said = refused(capsys, verb, run)
        assert "the run failed and has no weights: " in said
        assert f"playground train {run} --retry --out {tmp_path}" in said
        said = refused(capsys, verb, file, *words, "--out", tmp_path)
        assert "this run failed and has no weights: " in said
        assert said.endswith(f"--out {tmp_path} --retry\n")


def test_text_without_line_breaks_needs_a_prompt(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.txt").write_text(TEXT.replace("\n", " "))
    file = tmp_path / "run.yaml"
    file.write_text(RUN.replace("CORPUS", "a.txt").replace("TOKENIZER", "chars"))
    assert call(capsys, "train", file, "--no-compile", "--out", tmp_path).code == 0
    said = refused(capsys, "generate", file, "--out", tmp_path)
    assert "--prompt: is missing, and a line break is no token of this model" in said
    assert call(capsys, "generate", file, "--prompt", "cat", "--out", tmp_path).code == 0


def test_a_table_is_that_of_the_text_that_was_trained_on(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys)
    before = call(capsys, "eval", run, "--json").out
    (tmp_path / "b.txt").write_text("0123456789\n" * 90)
    assert "task.corpus: a model of chars has its table" in refused(
        capsys, "eval", run, f"task.corpus={tmp_path / 'b.txt'}"
    )
    exported = tmp_path / "exported"
    assert call(capsys, "export", run, exported).code == 0
    (tmp_path / "a.txt").write_text(TEXT + "zebra\n")
    for where in (run, exported):
        for verb in ("eval", "generate"):
            assert "not what it was trained on" in refused(capsys, verb, where)
    (tmp_path / "a.txt").write_text(TEXT)
    assert call(capsys, "eval", run, "--json").out == before


def test_bytes_are_scored_on_any_text(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys, "'bytes'\n  , split: [.8, .1, .1]")
    (tmp_path / "b.txt").write_text("0123456789\n" * 90)
    assert call(capsys, "eval", run, f"task.corpus={tmp_path / 'b.txt'}").code == 0


def test_export_replaces_no_folder_of_others(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys)
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_text("precious")
    assert "it is not empty" in refused(capsys, "export", run, other)
    assert (other / "model.safetensors").read_text() == "precious"
    assert "is a file" in refused(capsys, "export", run, tmp_path / "a.txt")
    own = tmp_path / "own"
    for _ in range(2):  # its own it may replace
        assert call(capsys, "export", run, own).code == 0
    assert "is an exported model already" in refused(capsys, "export", own, tmp_path / "third")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--harness", "wikitext", "--freeze-memory"), "--freeze-memory"),
        (("--harness", "wikitext", "--length", "1K"), "--length"),
        (("--harness", "wikitext", "--batches", "3"), "--batches"),
        (("--limit", "3"), "--limit"),
        (("--batches", "0"), "--batches"),
        (("--batches", "1", "--length", "64"), "length"),
    ],
)
def test_an_option_without_effect_is_refused(
    words: tuple[str, ...], named: str, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys)
    assert named in refused(capsys, "eval", run, *words)


def test_what_cannot_be_sampled_says_so(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys)
    assert "--prompt: the character 'X'" in refused(capsys, "generate", run, "--prompt", "X")
    assert "--tokens" in refused(capsys, "generate", run, "--tokens", "-5")
    assert "--temperature: inf" in refused(capsys, "generate", run, "--temperature", "inf")
    for option, value in (("--temperature", "-1"), ("--top-k", "0")):
        assert option in refused(capsys, "generate", run, option, value)
    said = call(capsys, "generate", run, "--temperature", "1e-40", "--tokens", 30)
    assert said.code == 0 and "\ufffd" not in said.out  # only what the table has
    words = tmp_path / "words"
    words.mkdir()
    run = words / "runs" / trained(words, capsys, "words")
    assert call(capsys, "generate", run, "--prompt", "the cat", "--temperature", "9").code == 0


def test_a_full_disk_is_said_in_a_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / trained(tmp_path, capsys)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "there/model.safetensors")

    module = importlib.import_module("playground.train.export")  # the function has its name
    monkeypatch.setattr(module, "write_tensors", full)
    said = refused(capsys, "export", run, tmp_path / "out")
    assert "there/model.safetensors: No space left on device" in said


def test_a_run_is_scored_under_what_changes_no_weight(tmp_path: Path, capsys: Capture) -> None:
    trained(tmp_path, capsys, tokenizer="bytes")
    spec = (tmp_path / "run.yaml").read_text().replace("kind: delta", "kind: titans, chunk_size: 8")
    (tmp_path / "run.yaml").write_text(spec)
    assert call(capsys, "train", tmp_path / "run.yaml", "--no-compile", "--out", tmp_path).code == 0
    (titans,) = (p.parent for p in tmp_path.glob("runs/*/spec.yaml") if "titans" in p.read_text())
    exported = tmp_path / "exported"
    assert call(capsys, "export", titans, exported).code == 0
    step = "block.memory.max_lr=0.0625"

    def loss(*words: object) -> float:
        said = call(capsys, "eval", *words, "--no-compile", "--json")
        assert said.code == 0, said.err
        return json.loads(said.out)["test/loss"]

    assert loss(titans, "block.memory.chunk_size=1", step) != loss(titans)
    for words in (["block.memory.chunk_size=1", step], ["task.length=12"], ["device=cpu"]):
        assert loss(exported, *words) == loss(titans, *words)
    other = tmp_path / "b.txt"
    (tmp_path / "a.txt").rename(other)
    assert "looked at" in refused(capsys, "eval", exported)
    assert loss(exported, f"task.corpus={other}") > 0
    for word, why in (
        ("block.memory.chunk_size=1", "makes the largest step 0.5; weights are trained for 0.0625"),
        ("block.memory.heads=1", "it has other weights. Override what changes no weight"),
        ("train.steps=4", "train: says how a model is trained; this one is. Leave it out."),
        ("task.lenght=3", "Did you mean 'length'?"),
        ("task.tokenizer=chars", "trained on tokens of bytes; those of chars are others. Leave"),
    ):
        said = refused(capsys, "eval", exported, word, f"task.corpus={other}")
        assert why in said, said
    word = "block.memory.chunk_size=1"
    assert f"{word}: a trained model is exported as it is" in refused(
        capsys, "export", titans, tmp_path / "again", word
    )
    assert f"{word}: a trained model is traced as it is" in refused(
        capsys, "explain", titans, word, "--trace", "cat", "--figure", tmp_path / "t.png"
    )
