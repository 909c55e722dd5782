"""Runs and sweeps of a store become records of the experiments they belong to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground.errors import DataError
from playground.report.collect import collect
from playground.report.page import Page
from playground.report.records import Record, joined, output_rows, row_of
from playground.spec import RunSpec, SweepSpec, convert, fingerprint, load, override, to_dict

MODEL = "{kind: none}"
RUN = f"""
kind: run
model: {{vocab: 32, dim: 8, depth: 1, block: {MODEL}}}
task: {{kind: mqar, vocab: 32, length: 12, pairs: 2}}
"""
SWEEP = f"""
kind: sweep
base: {{kind: model, vocab: 32, dim: 8, depth: 1, block: {MODEL}}}
task: {{kind: mqar, vocab: 32, length: 12, pairs: 2}}
variants: {{wide: {{dim: 16}}}}
seeds: 2
"""
ENV = {"python": "3.13.1", "packages": {"torch": "2.9.0"}, "threads": 2, "device": "cpu"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file, content in {"tasks/run": RUN, "sweeps/sweep": SWEEP}.items():
        path = tmp_path / "specs" / f"{file}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    (tmp_path / "store" / "runs").mkdir(parents=True)
    return tmp_path


def finish(root: Path, spec: RunSpec, accuracy: float = 0.5, **more: Any) -> str:
    """A run that is over, in the store."""
    name = fingerprint(spec, str(more.get("ended", "")))
    folder = root / "store" / "runs" / name
    folder.mkdir()
    result: dict[str, Any] = {"fingerprint": name, "status": "ok", "reason": None}
    result |= {"metrics": {"test/accuracy": accuracy}, "floors": {"any_value": 2.7}, "params": 10}
    result |= {"seed": spec.seed, "wall_s": 5.0, "ended": 1.7e9} | more
    files = {"resolved": {"spec": to_dict(spec)}, "env": ENV, "result": result}
    for file, content in files.items():
        (folder / f"{file}.json").write_text(json.dumps(content))
    return name


def page(**experiments: dict[str, Any]) -> Page:
    sections = [{"title": "T", "about": "A.", "experiments": experiments}]
    return convert(Page, {"title": "R", "about": "A.", "sections": sections})


def run_spec(root: Path, *words: str) -> RunSpec:
    found = load(root / "specs/tasks/run.yaml", *words)
    assert isinstance(found, RunSpec)
    return found


ONE: dict[str, Any] = {"spec": "specs/tasks/run.yaml", "seeds": [0, 1]}


def collected(root: Path, what: Page, old: dict[str, Record] | None = None) -> dict[str, Record]:
    return collect(what, root, [root / "store"], old or {}).records


def test_finished_runs_of_the_spec_and_seeds_are_taken_and_no_others(root: Path) -> None:
    spec = run_spec(root)
    names = [finish(root, replace(spec, seed=seed), 0.1 * seed) for seed in (0, 1, 2)]
    finish(root, run_spec(root, "train.steps=3"), 0.9)
    (found,) = collected(root, page(one=ONE)).values()
    assert [run["fingerprint"] for run in found.runs] == names[:2]
    assert found.runs[1]["metrics"] == {"test/accuracy": 0.1}
    assert found.runs[0]["machine"] == "CPU, 2 threads"
    assert found.runs[0]["versions"] == "Python 3.13.1, torch 2.9.0"
    assert found.runs[0]["date"] == "2023-11-14"
    assert found.command == "playground train specs/tasks/run.yaml"
    assert convert(RunSpec, found.spec) == spec
    for entry in (root / "store/runs").glob("*/env.json"):
        entry.write_text(json.dumps(ENV | {"processor": "Fast One, AVX512"}))
    (again,) = collected(root, page(one=ONE)).values()
    assert again.runs[0]["machine"] == "CPU, 2 threads of Fast One, AVX512"


def test_words_belong_to_the_spec(root: Path) -> None:
    finish(root, run_spec(root, "train.steps=3"), 0.9)
    assert collected(root, page(one=ONE)) == {}
    (found,) = collected(root, page(one=ONE | {"words": ["train.steps=3"]})).values()
    assert found.command.endswith("run.yaml train.steps=3")


def test_a_run_of_a_version_without_a_later_field_belongs_to_its_spec(root: Path) -> None:
    name = finish(root, run_spec(root))
    file = root / "store" / "runs" / name / "resolved.json"
    raw = json.loads(file.read_text())
    del raw["spec"]["evaluate"], raw["spec"]["task"]["gap_power"]
    file.write_text(json.dumps(raw))
    assert list(collected(root, page(one=ONE))) == ["one"]


def test_folds_and_parts_are_told_apart(root: Path) -> None:
    spec = run_spec(root)
    for length in (12, 16):
        finish(root, override(spec, {"task.length": length}), length / 100)
    one = ONE | {"seeds": [0], "parts": {"task.length": [12, 16, 20]}}
    (found,) = collected(root, page(one=one)).values()
    assert [run["at"] for run in found.runs] == [{"task.length": 12}, {"task.length": 16}]


def test_of_two_runs_of_one_seed_the_newer_is_taken(root: Path) -> None:
    finish(root, run_spec(root), 0.2, ended=1.8e9)
    finish(root, run_spec(root), 0.1)
    (found,) = collected(root, page(one=ONE)).values()
    assert [run["metrics"]["test/accuracy"] for run in found.runs] == [0.2]


def test_new_seeds_are_added_and_a_changed_spec_begins_anew(root: Path) -> None:
    spec = run_spec(root)
    name = finish(root, spec, 0.3)
    first = collected(root, page(one=ONE))
    for file in (root / "store" / "runs" / name).iterdir():
        file.unlink()
    finish(root, replace(spec, seed=1), 0.4)
    (found,) = collected(root, page(one=ONE), first).values()
    assert [run["seed"] for run in found.runs] == [0, 1]
    changed = ONE | {"words": ["train.steps=3"]}
    finish(root, run_spec(root, "train.steps=3"), 0.5)
    (found,) = collected(root, page(one=changed), first).values()
    assert [run["seed"] for run in found.runs] == [0]
    assert found.runs[0]["metrics"]["test/accuracy"] == 0.5


def test_a_failed_run_is_kept_and_an_open_one_is_not(root: Path) -> None:
    spec = run_spec(root)
    finish(root, spec, status="failed", reason="NaN at step 3", metrics={})
    open_one = finish(root, replace(spec, seed=1))
    (root / "store" / "runs" / open_one / "result.json").unlink()
    (found,) = collected(root, page(one=ONE)).values()
    assert [(run["seed"], run["reason"]) for run in found.runs] == [(0, "NaN at step 3")]


def sweep_plan(root: Path, spec: SweepSpec) -> dict[str, Any]:
    variants: dict[str, Any] = {}
    for run in spec.expand():
        entry = variants.setdefault(run.variant, {"overrides": {}, "runs": []})
        entry["runs"].append({"seed": run.seed, "fingerprint": finish(root, run.spec)})
    report = {"metrics": ["test/accuracy"], "test": "paired_t", "correct": "holm"}
    return {"baseline": "full", "spec": to_dict(spec), "variants": variants, "report": report}


def test_a_sweep_is_taken_when_all_its_runs_are_over(root: Path) -> None:
    spec = load(root / "specs/sweeps/sweep.yaml")
    assert isinstance(spec, SweepSpec)
    plan, folder = sweep_plan(root, spec), root / "store" / "sweeps" / "sweep"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(plan))
    what = page(one={"spec": "specs/sweeps/sweep.yaml"})
    (found,) = collected(root, what).values()
    assert {name: len(v["runs"]) for name, v in found.sweep["variants"].items()} == {
        "full": 2,
        "wide": 2,
    }
    other = page(one={"spec": "specs/sweeps/sweep.yaml", "words": ["seeds=3"]})
    assert collected(root, other) == {}
    last = root / "store" / "runs" / plan["variants"]["wide"]["runs"][1]["fingerprint"]
    (last / "result.json").unlink()
    left = collect(what, root, [root / "store"], {})
    assert left.records == {}
    assert "not over" in left.notes[0]


def test_what_cannot_be_read_is_said(root: Path) -> None:
    folder = root / "store" / "runs" / ("0" * 64)
    folder.mkdir()
    (folder / "resolved.json").write_text('{"spec": {"kind": "run", "colour": 1}}')
    found = collect(page(one=ONE, two={"spec": "specs/x.yaml"}), root, [root / "store"], {})
    assert "not read by this version" in found.notes[0]
    assert found.notes[1] == "two: there is no specs/x.yaml"
    with pytest.raises(DataError, match="it has no runs"):
        collect(page(one=ONE), root, [root], {})


def test_of_two_runs_of_one_seed_the_later_one_is_kept() -> None:
    def record(**days: str) -> Record:
        runs = [
            {"seed": int(seed[1:]), "date": day, "fingerprint": day} for seed, day in days.items()
        ]
        return Record(name="one", command="c", spec={"a": 1}, runs=tuple(runs))

    old = record(s0="2026-01-02", s1="2026-01-02")
    new = record(s0="2026-01-01", s1="2026-01-03", s2="2026-01-01")
    days = [run["date"] for run in joined(old, new).runs]
    assert days == ["2026-01-02", "2026-01-03", "2026-01-01"]
    assert joined(None, new) == new


def test_output_of_a_command_is_rows(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": {"c.d": 2.5}}, {"a": 2, "b": {"c.d": 3.5}}]
    for said in (
        json.dumps(rows),
        json.dumps({"rows": rows, "files": ["x"]}),
        "\n".join(map(json.dumps, rows)),
    ):
        assert output_rows(said, "file") == rows
    named = json.dumps({"folder": "x", "results": {"one": {"a": 1}, "two": {"b": 2}}})
    wanted = [{"name": "one", "a": 1, "b": None}, {"name": "two", "a": None, "b": 2}]
    assert output_rows(named, "file") == wanted
    for one in ({"score": 1, "more": {"p": {"q": 2}}}, {"a": {"b": 1}}):
        assert output_rows(json.dumps(one), "file") == [one]
    assert row_of(rows[0], ["b.c.d", "a"]) == {"b.c.d": 2.5, "a": 1}
    assert row_of(rows[0], []) == {"a": 1}
    assert row_of({"times": None}, ["times.median"]) == {"times.median": None}  # no time was taken
    with pytest.raises(DataError, match="no such key"):
        row_of(rows[0], ["b.x"])
    for wrong in ("{", "[]", "[1]"):
        with pytest.raises(DataError):
            output_rows(wrong, "file")
