"""The starting specs of `playground new`, and the YAML files of the project."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import torch

from memory_rules import RULES, load_rule
from playground.errors import SpecError
from playground.spec import (
    STARTS,
    BenchSpec,
    ModelSpec,
    RunSpec,
    SearchSpec,
    SweepSpec,
    load,
    starting_spec,
)
from playground.spec.tasks import TaskSpec

SPECS = Path(__file__).parents[2] / "specs"
KINDS = {
    "models": ModelSpec,
    "runs": RunSpec,
    "tasks": RunSpec,
    "sweeps": SweepSpec,
    "searches": SearchSpec,
    "benches": BenchSpec,
}


@pytest.mark.parametrize("name", [name for name in STARTS if name != "rule"])
def test_a_starting_spec_loads_alone_and_has_comments(tmp_path, name):
    file, text = starting_spec(name)
    (tmp_path / file).write_text(text)
    spec = load(tmp_path / file)
    assert spec.kind == (name if name in ("run", "sweep", "search", "bench") else "model")
    assert text.count("#") > 6
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_candidate_of_the_starting_search_is_a_run_at_every_rung(tmp_path):
    from playground.spec import fitting, override
    from search.suites import at_rung

    file, text = starting_spec("search")
    (tmp_path / file).write_text(text)
    spec = load(tmp_path / file)
    assert isinstance(spec, SearchSpec)
    chosen = {
        key: one[-1] if isinstance(one, tuple) else one.ends()[0] for key, one in spec.space.items()
    }
    assert fitting(spec.first(), chosen) == chosen
    candidate = override(spec.first(), chosen)
    steps = [at_rung(candidate, spec.trained, at)[0][0].train.steps for at in (0, 1)]
    assert steps == [100, 100]


@pytest.mark.parametrize("name", ["run", "sweep", "search"])
def test_a_starting_spec_names_every_kind_of_task(name):
    words = set(re.findall(r"\w+", STARTS[name]))
    assert words >= {cls.kind for cls in get_args(TaskSpec)}


def test_the_starting_rule_is_a_rule_that_a_spec_can_name(tmp_path):
    for name in ("rule", "titans-lmm"):
        file, text = starting_spec(name)
        (tmp_path / file).write_text(text)
    spec = load(tmp_path / "titans_lmm.yaml", f"memory.kind={tmp_path}/my_rule.py:MyRule")
    rule = spec.block.memory.rule
    assert type(rule) is load_rule(f"{tmp_path}/my_rule.py:MyRule")
    error = torch.tensor([1e-3])
    torch.testing.assert_close(rule.objective(error, 0 * error), (error**2).sum())
    with pytest.raises(SpecError, match="scale: -1"):
        load(
            tmp_path / "titans_lmm.yaml",
            f"memory.kind={tmp_path}/my_rule.py:MyRule",
            "memory.scale=-1",
        )


def test_an_unknown_starting_spec_is_an_error_with_the_nearest_name():
    with pytest.raises(SpecError, match="Did you mean 'titans-mac'"):
        starting_spec("titan-mac")


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_file_of_the_project_loads_as_what_its_folder_says(path):
    spec = load(path)
    assert type(spec) is KINDS[path.parent.name]
    if isinstance(spec, SweepSpec):
        assert spec.expand()


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_has_a_model(kind):
    if RULES[kind].__module__.startswith("memory_rules."):
        file = {"titans": "titans_lmm"}.get(kind, kind)
        assert load(SPECS / "models" / f"{file}.yaml").block.memory.rule.kind == kind


def test_the_full_model_writes_every_key_with_its_default():
    from blocks.spec import FeedForwardSpec, Lmm, MemorySpec

    default = ModelSpec(block=Lmm(memory=MemorySpec(rule=RULES["titans"]())))
    assert load(SPECS / "models/titans_lmm.yaml") == default
    text = (SPECS / "models/titans_lmm.yaml").read_text(encoding="utf-8")
    parts = (default, Lmm, MemorySpec, FeedForwardSpec, RULES["titans"])
    keys = {item.name for part in parts for item in fields(part)} - {"rule"}
    assert keys <= set(re.findall(r"\b(\w+):", text))


def test_the_ablation_has_the_rows_of_table_5_and_two_models_without_the_memory():
    names = {run.variant for run in load(SPECS / "sweeps/titans_ablation.yaml").expand()}
    table = {"full", "linear-memory", "no-conv", "no-momentum", "no-decay", "no-persistent"}
    assert names == table | {"mac", "mag", "mal", "attention", "gated-delta"}


def test_mad_in_small_has_every_rule_with_each_of_its_three_tasks():
    runs = load(SPECS / "sweeps/mad_lite.yaml").expand()
    found = {(run.spec.task.kind, run.spec.model.block.kind) for run in runs}
    tasks = {"mad_recall", "mad_noisy_recall", "mad_selective_copy"}
    assert found == {(task, block) for task in tasks for block in ("lmm", "attention")}
    ours = {kind for kind in RULES if RULES[kind].__module__.startswith("memory_rules.")}
    for task in tasks:
        blocks = [run.spec.model.block for run in runs if run.spec.task.kind == task]
        assert {block.memory.rule.kind for block in blocks if block.kind == "lmm"} == ours


def test_recall_over_state_has_six_rules_of_different_states():
    runs = load(SPECS / "sweeps/recall_state.yaml").expand()
    kinds = {run.spec.model.block.memory.rule.kind for run in runs}
    assert len(kinds) >= 6
    for kind in kinds:
        heads = [r.spec.model.block.memory for r in runs]
        assert {one.heads for one in heads if one.rule.kind == kind} == {1, 4, 16}
