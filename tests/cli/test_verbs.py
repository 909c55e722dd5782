"""Every verb does what it says, for people and as JSON."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from playground.cli.app import VERBS, app
from playground.cli.specs import MOST_SHOWN
from tests.cli.command import call
from tests.cli.test_errors import SMALL

Capture = pytest.CaptureFixture[str]
MODEL = """
kind: model
vocab: 32
dim: 16
depth: 1
block: {kind: lmm, memory: {kind: delta, heads: 2}}
"""
SWEEP = """
kind: sweep
base:
  kind: model
  vocab: 32
  dim: 16
  depth: 1
  block: {kind: lmm, memory: {kind: delta, heads: 2}}
task: {kind: mqar, vocab: 32, length: 12, pairs: 2, test_examples: 4}
train: {steps: 2, batch: 2, eval_batches: 1}
variants: {no-conv: {block.memory.conv: 0}}
seeds: 2
compile: false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run."""
    from playground.cli import main

    folder = tmp_path_factory.mktemp("home")
    (folder / "run.yaml").write_text(SMALL + "compile: false\n")
    (folder / "sweep.yaml").write_text(SWEEP)
    assert main(["train", str(folder / "run.yaml"), "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture(scope="module")
def swept(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run and a sweep."""
    from playground.cli import main

    folder = tmp_path_factory.mktemp("swept") / "home"
    shutil.copytree(home, folder)
    words = ["sweep", str(folder / "sweep.yaml"), "--workers", "1", "--out", str(folder), "--json"]
    assert main(words) == 0
    return folder


def as_json(capsys: Capture, *words: object):
    said = call(capsys, *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_help_names_every_verb(capsys: Capture):
    said = call(capsys, "--help")
    verbs = (
        "new check explain train eval generate export sweep retry report diff send status results "
        "search bench verify cite doctor"
    )
    assert said.code == 0
    assert all(f"  {verb} " in said.out for verb in [*verbs.split(), "schema"])
    assert "..." not in said.out.split("Commands:")[1]


def test_every_verb_has_help_of_its_own():
    for info in app.registered_commands:
        shown = CliRunner().invoke(app, [str(info.name), "--help"])
        assert shown.exit_code == 0
        assert info.callback is not None
        assert (info.callback.__doc__ or "").splitlines()[0] in shown.output
    assert len(VERBS) == 8


def test_new_writes_a_spec_that_check_takes(tmp_path: Path, capsys: Capture):
    path = tmp_path / "mac.yaml"
    assert call(capsys, "new", "titans-mac", "--to", path).out.strip() == str(path)
    assert "exists" in call(capsys, "new", "titans-mac", "--to", path).err
    words = ("dim=32", "depth=1", "segment_len=16")
    found = as_json(capsys, "check", path, *words)
    assert found["kind"] == "model"
    assert min(found["params"], found["state_bytes_per_sequence"], found["flops_per_token"]) > 0
    assert "params" in call(capsys, "check", path, *words).out


def test_check_takes_runs_and_sweeps(home: Path, capsys: Capture):
    assert as_json(capsys, "check", home / "run.yaml")["training_tokens"] == 2 * 2 * 12
    found = as_json(capsys, "check", home / "sweep.yaml")
    assert [row["variant"] for row in found["variants"]] == ["full", "no-conv"]
    assert found["variants"][1]["params_ratio"] < 1
    assert "no-conv" in call(capsys, "check", home / "sweep.yaml").out


def test_explain_prints_the_plan_the_reasons_and_the_equations(home: Path, capsys: Capture):
    said = call(capsys, "explain", home / "run.yaml")
    assert said.code == 0
    for part in ("after select_lowering", "needs CUDA", "arXiv:2406.06484", "memory_{t-1}"):
        assert part in said.out


def test_words_that_make_a_model_a_run_are_taken_as_by_train(tmp_path: Path, capsys: Capture):
    model = tmp_path / "m.yaml"
    model.write_text(MODEL)
    words = ("task.kind=mqar", "task.vocab=32", "task.length=12", "task.pairs=2")
    found = as_json(capsys, "check", model, *words, "train.steps=3")
    assert (found["kind"], found["task"]) == ("run", "mqar")
    assert found["training_tokens"] == 3 * 16 * 12
    said = call(capsys, "check", model, "train.steps=3")
    assert said.code == 2 and "task: is missing" in said.err
    assert as_json(capsys, "explain", model, *words, "compile=false")["graphs"] == []
    traced = ("--trace", "3 1 4", "--figure", tmp_path / "t.png", "--out", tmp_path)
    said = call(capsys, "explain", model, *traced, *words)
    assert said.code == 0, said.err


def test_a_model_is_explained_as_it_is_to_be_carried_out(tmp_path: Path, capsys: Capture):
    model = tmp_path / "m.yaml"
    model.write_text(MODEL)

    def form(*words: str) -> str:
        found = as_json(capsys, "explain", model, *words, "compile=false")
        assert found["target"] == "cpu, not compiled"
        return found["passes"][-1]["text"]

    assert "recurrent" in form("lowering=recurrent", "device=cpu", "dim=8")
    assert "chunked" in form("lowering=chunked")
    for word in ("lowering=chunkd", "device=gpu", "run.compile_mod=graphs"):
        said = call(capsys, "explain", model, word)
        assert said.code == 2
        assert said.err.startswith(f"SpecError: {word.partition('=')[0]}: ")


@pytest.mark.compile
@pytest.mark.slow
def test_explain_counts_no_graph_breaks(home: Path, capsys: Capture):
    found = as_json(capsys, "explain", home / "run.yaml", "compile=true")
    assert [row["breaks"] for row in found["graphs"]] == [0]


def test_explain_draws_what_was_written_and_read(home: Path, tmp_path: Path, capsys: Capture):
    figure = tmp_path / "t.png"
    words = ("--trace", "3 1 4 1 5", "--figure", figure, "--out", home)
    said = call(capsys, "explain", home / "run.yaml", *words)
    assert said.code == 0, said.err
    assert "trained weights" in said.out
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert "written" in said.out
    fresh = call(capsys, "explain", home / "run.yaml", *words[:-1], tmp_path)
    assert "initial weights" in fresh.out
    assert call(capsys, "explain", home / "run.yaml", "--trace", "", "--out", home).code == 2
    for file, problem in (("none/t.png", "there is no folder"), ("t.bmp", "of no known kind")):
        said = call(capsys, "explain", home / "none.yaml", "--trace", "3", "--figure", file)
        assert said.code == 2 and problem in said.err  # before anything is read
    said = call(capsys, "explain", home / "run.yaml", "--figure", figure)
    assert said.code == 2 and "--figure: there is nothing to draw. Add --trace" in said.err


def test_a_second_train_only_looks_the_result_up(home: Path, capsys: Capture):
    found = as_json(capsys, "train", home / "run.yaml", "--out", home)
    assert found["status"] == "ok"
    assert Path(found["folder"]).is_dir()
    assert found["metrics"]["test/loss"] > 0
    shown = call(capsys, "train", home / "run.yaml", "--out", home)
    assert "test/loss" in shown.out
    assert shown.err == ""


def test_a_bare_model_is_trained_with_a_task_on_the_command_line(tmp_path: Path, capsys: Capture):
    model = tmp_path / "m.yaml"
    model.write_text("vocab: 32\nkind: model\ndim: 8\ndepth: 1\nblock: {kind: none}\n")
    assert "task" in call(capsys, "train", model, "--out", tmp_path).err
    words = "task.kind=mqar task.vocab=32 task.length=12 task.pairs=2 train.steps=1 compile=false"
    assert call(capsys, "train", model, *words.split(), "--out", tmp_path).code == 0


def test_a_run_that_fails_has_exit_code_1_and_says_how_to_repeat_it(home: Path, capsys: Capture):
    words = ("train.optim.lr=1e30", "train.optim.clip=0", "train.steps=4", "--out", home)
    said = call(capsys, "train", home / "run.yaml", *words)
    assert said.code == 1
    assert "--retry" in said.out


def test_eval_scores_by_spec_folder_and_fingerprint(home: Path, capsys: Capture):
    by_spec = as_json(capsys, "eval", home / "run.yaml", "--out", home)
    name = Path(by_spec["folder"]).name
    assert as_json(capsys, "eval", by_spec["folder"]) == by_spec
    assert as_json(capsys, "eval", name[:10], "--out", home)["test/loss"] == by_spec["test/loss"]
    frozen = as_json(capsys, "eval", by_spec["folder"], "--freeze-memory")
    assert frozen["test/loss"] != by_spec["test/loss"]
    longer = as_json(capsys, "eval", by_spec["folder"], "--length", 20, "--split", "val")
    assert longer["val/loss"] > 0
    assert call(capsys, "eval", by_spec["folder"], "--split", "tast").code == 2
    assert "no length" in call(capsys, "eval", by_spec["folder"], "--length", "2X").err
    assert "--length or --by" in call(capsys, "eval", by_spec["folder"], "--figure", "a.svg").err
    assert "no known kind" in call(capsys, "eval", by_spec["folder"], "--figure", "a.bmp").err


def test_eval_of_text_reads_one_long_stream(tmp_path: Path, capsys: Capture):
    (tmp_path / "a.txt").write_text("some words to read again and again. " * 40)
    (tmp_path / "run.yaml").write_text(
        "kind: run\ncompile: false\nmodel: {dim: 8, depth: 1, block: {kind: lmm, memory: "
        "{kind: gated_delta, heads: 1}}}\ntask: {kind: text, corpus: a.txt, length: 16}\n"
        "train: {steps: 1}\n"
    )
    assert call(capsys, "train", tmp_path / "run.yaml", "--out", tmp_path).code == 0
    figure = tmp_path / "stream.png"
    words = ("--length", "2K", "--by-position", "--figure", figure, "--out", tmp_path)
    found = as_json(capsys, "eval", tmp_path / "run.yaml", *words)
    assert [mark["tokens"] for mark in found["stream"]] == [1024, 2048]
    assert found["test/loss@1024-2048"] > 0
    assert figure.read_bytes()[:4] == b"\x89PNG"
    shown = call(capsys, "eval", tmp_path / "run.yaml", *words)
    assert "after 2,048 tokens" in shown.out and "times over" in shown.out


def test_generate_and_export(home: Path, tmp_path: Path, capsys: Capture):
    words = ("--prompt", "3 1 4", "--tokens", "5", "--out", home)
    (found,) = as_json(capsys, "generate", home / "run.yaml", *words)
    assert len(found["text"].split()) == 5
    said = call(capsys, "generate", home / "run.yaml", *words)
    assert said.out == f"3 1 4 {found['text']}\n"
    folder = tmp_path / "out"
    assert (
        "model.safetensors" in call(capsys, "export", home / "run.yaml", folder, "--out", home).out
    )
    assert as_json(capsys, "generate", folder, *words[:4]) == [found]
    assert "not token ids" in call(capsys, "generate", folder, "--prompt", "hello").err
    said = call(capsys, "generate", folder)
    assert said.code == 2 and "--prompt: is missing, and the task has no text" in said.err
    assert (
        "--prompt: token 32 is none of the model's 32"
        in call(capsys, "generate", folder, "--prompt", "3 32").err
    )
    assert "--prompt: it is empty" in call(capsys, "generate", folder, "--prompt", " ").err
    assert call(capsys, "eval", folder, "dim=3").code == 2
    said = call(capsys, "export", home / "run.yaml", "task.length=3", "--out", home)
    assert said.code == 2 and "TARGET: task.length=3 is an override" in said.err
    assert not Path("task.length=3").exists()


def test_a_plan_of_very_many_variants_prints_the_first(home: Path, capsys: Capture):
    rates = [round(1e-3 + 1e-5 * i, 6) for i in range(64)]
    words = (home / "sweep.yaml", "--dry-run", "--out", home, f"grid={{train.optim.lr: {rates}}}")
    rows = as_json(capsys, "sweep", *words)["variants"]
    lines = call(capsys, "sweep", *words).out.splitlines()
    assert len(rows) > MOST_SHOWN
    assert any(f"and {len(rows) - MOST_SHOWN} variants more" in line for line in lines)
    assert len(lines) < 2 * MOST_SHOWN + 10
    changed = [line for line in lines if "train.optim.lr: 0.001" in line]
    assert len(changed) == MOST_SHOWN


def test_a_plan_says_what_changes_and_what_is_not_of_equal_size(home: Path, capsys: Capture):
    words = (home / "sweep.yaml", "--dry-run", "--out", home, "match={params: 0.001, by: depth}")
    variants = {"wide": {"dim": 32}}
    shown = call(capsys, "sweep", *words, f"variants={json.dumps(variants)}").out
    assert "wide     dim: 32" in shown
    assert "its model has no" not in shown
    assert "not as large as the baseline, whatever the field is: no-conv (0.953), wide (" in shown


def test_a_sweep_is_planned_carried_out_and_reported(home: Path, tmp_path: Path, capsys: Capture):
    own = tmp_path / "own"
    shutil.copytree(home, own)
    spec, out = own / "sweep.yaml", ("--out", own)
    dry = as_json(capsys, "sweep", spec, "--dry-run", *out)
    assert (dry["runs"], dry["done"]) == (4, 1)  # the run that was trained alone is one of them
    found = as_json(capsys, "sweep", spec, "--workers", 1, *out)
    assert [row["variant"] for row in found["variants"]] == ["full", "no-conv"]
    assert len(found["runs"]) == 4
    assert {Path(path).name for path in found["files"]} >= {"report.md", "report.html"}
    again = as_json(capsys, "sweep", spec, "--dry-run", "seeds=3", *out)
    assert (again["runs"], again["done"]) == (6, 4)
    done = [json.loads(file.read_text()) for file in (own / "runs").glob("*/result.json")]
    paces = [one["wall_s"] / one["replicas"] / one["tokens"] for one in done if one["tokens"]]
    assert min(paces) <= again["seconds"] * again["workers"] / again["tokens"] <= max(paces)
    shown = call(capsys, "report", "sweep", *out)
    assert "no-conv" in shown.out
    assert as_json(capsys, "report", spec, *out)["variants"] == found["variants"]
    kept = as_json(capsys, "status", *out)
    assert sum(kept["counts"].values()) == len(kept["runs"]) >= len(found["runs"])
    assert len(as_json(capsys, "status", "--most", 2, *out)["runs"]) == 2
    assert as_json(capsys, "status", "--all", *out) == kept
    assert "--most: --all lists" in call(capsys, "status", "--all", "--most", 2, *out).err
    assert "lmm" in call(capsys, "status", *out).out
    first, second = (row["run"] for row in kept["runs"][:2])
    different = as_json(capsys, "diff", first, second, *out)
    assert {row["part"] for row in different} >= {"spec", "result"}
    assert "spec" in call(capsys, "diff", first, second, *out).out
    assert "do not differ" in call(capsys, "diff", first, first, *out).out


def test_a_sweeps_folder_says_where_its_runs_are(
    swept: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    folder = swept / "sweeps" / "sweep"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    found = as_json(capsys, "report", folder)
    assert [run["status"] for run in found["runs"]] == ["ok"] * 4
    sent: list[tuple[Path, Path]] = []

    def send(run: Path, to: str, *, project: str, folder: Path) -> int:
        sent.append((run, folder))
        return 1

    monkeypatch.setattr("playground.report.trackers.send", send)
    assert call(capsys, "send", folder, "--to", "tensorboard").code == 0
    assert {run.parent for run, _ in sent} == {swept / "runs"} and len(sent) == 4
    assert {events for _, events in sent} == {swept / "tensorboard"}
    run = next((swept / "runs").iterdir())
    for name in (run, run.name[:10]):
        assert call(capsys, "send", name, "--to", "tensorboard", "--out", swept).code == 0
        assert sent.pop()[0] == run
    said = call(capsys, "send", "sweeep", "--to", "tensorboard", "--out", swept)
    assert said.code == 2
    assert "Did you mean 'sweep'?" in said.err and "allowed: sweep" in said.err
    monkeypatch.chdir(folder)
    assert as_json(capsys, "report", ".")["problems"] == []


def test_a_sweep_with_failures_says_how_to_repeat_them(home: Path, tmp_path: Path, capsys: Capture):
    words = ("train.optim.lr=1e30", "train.optim.clip=0", "--workers", 1, "--out", tmp_path)
    said = call(capsys, "sweep", home / "sweep.yaml", *words)
    assert said.code == 1
    hint = "after `playground retry` carry out again what failed"
    assert hint in said.out
    done = call(capsys, "sweep", home / "sweep.yaml", "--workers", 1, "--out", tmp_path)
    assert done.code == 0
    plan = tmp_path / "sweeps" / "sweep" / "sweep.json"  # the runs ended well, and none has it
    plan.write_text(plan.read_text().replace("test/loss", "test/acuracy"))
    said = call(capsys, "report", "sweep", "--out", tmp_path)
    assert said.code == 1
    assert "it has no test/acuracy" in said.out
    assert hint not in said.out


def test_a_report_without_any_run_replaces_no_file(swept: Path, tmp_path: Path, capsys: Capture):
    folder = tmp_path / "copied"
    shutil.copytree(swept / "sweeps" / "sweep", folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    said = call(capsys, "report", folder, "--out", tmp_path)
    assert said.code == 1
    assert "no file is written" in said.out
    said = call(capsys, "report", folder, "--json", "--out", tmp_path)
    assert json.loads(said.out)["files"] == []
    after = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    assert after == before
    assert as_json(capsys, "report", folder, "--out", swept)["problems"] == []  # a copy needs --out


def test_verify_prints_every_law(capsys: Capture):
    found = as_json(capsys, "verify", "linear_attention", "--lowering", "recurrent")
    assert {row["lowering"] for row in found} == {"recurrent"}
    assert all(row["passed"] for row in found)
    assert len(found) > 10


def test_a_form_that_is_asked_for_and_cannot_run_is_no_success(capsys: Capture):
    for more in ((), ("--lowering", "recurrent"), ("--json",)):
        said = call(capsys, "verify", "titans", "--lowering", "triton", *more)
        assert said.code == 2
        assert said.out == ""
        assert "--lowering: titans cannot run in this form here, so no law is tried." in said.err
        assert "triton: needs CUDA" in said.err


def test_verify_takes_a_rule_from_a_file(tmp_path: Path, capsys: Capture):
    rule = tmp_path / "my_rule.py"
    call(capsys, "new", "rule", "--to", rule)
    said = call(capsys, "verify", f"{rule}:MyRule", "scale=0.5", "--lowering", "recurrent")
    assert said.code == 0, said
    assert "causality" in said.out


def test_cite_takes_rules_and_specs(home: Path, capsys: Capture):
    said = call(capsys, "cite", "titans", home / "run.yaml", home / "sweep.yaml")
    assert said.out.count("@misc{") == 2
    run = next((home / "runs").iterdir())
    assert list(as_json(capsys, "cite", run)) == ["arXiv:2406.06484"]
    other = as_json(capsys, "cite", home / "run.yaml", "block.memory.kind=titans")
    assert list(other) == ["arXiv:2501.00663"]
    none = call(capsys, "cite", home / "run.yaml", "block={kind: attention}")
    assert none.code == 2
    assert none.err.endswith("run.yaml: it has no memory rule. There is nothing to cite.\n")
    rule = home / "my_rule.py"
    call(capsys, "new", "rule", "--to", rule)
    own = call(capsys, "cite", f"{rule}:MyRule")
    assert own.code == 2 and "has no entry" in own.err and "Cite it by hand." in own.err
    rule.write_text(rule.read_text().replace("arXiv:0000.00000", "own"))
    own = call(capsys, "cite", f"{rule}:MyRule")
    assert own.code == 2 and "its rules are of no published paper" in own.err
    assert "arXiv" in next(iter(as_json(capsys, "cite", "delta")))


def test_doctor_and_schema_answer(capsys: Capture):
    found = {row["what"]: row for row in as_json(capsys, "doctor")}
    assert found["torch"]["state"] == "ok"
    assert "lowering chunked" in found
    assert "$schema" in json.loads(call(capsys, "schema").out)


def test_a_plan_says_what_a_variants_own_model_has_not(tmp_path: Path, capsys: Capture):
    size = "kind: model\nvocab: 32\ndim: 16\ndepth: 1\n"
    (tmp_path / "m.yaml").write_text(f"{size}block: {{kind: lmm, memory: {{kind: delta}}}}\n")
    (tmp_path / "a.yaml").write_text(f"{size}block: {{kind: attention}}\n")
    spec = tmp_path / "s.yaml"
    base = "base: {extends: m.yaml, block.memory.conv: 2}\ntask:"
    rest = SWEEP.partition("task:")[2]
    rest = rest.replace("no-conv: {block.memory.conv: 0}", "a: {extends: a.yaml}")
    spec.write_text(f"kind: sweep\n{base}{rest}")
    shown = call(capsys, "sweep", spec, "--dry-run", "--out", tmp_path).out
    assert "a: its model has no block.memory.conv of the base" in shown
    found = as_json(capsys, "sweep", spec, "--dry-run", "--out", tmp_path)
    assert found["variants"][1]["dropped"] == ["block.memory.conv"]
