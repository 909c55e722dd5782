"""The starting specs of `playground new`, and the YAML files of the project."""

from pathlib import Path

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
    assert spec.kind == (name if name in ("run", "sweep", "bench") else "model")
    assert text.count("#") > 6
    assert max(len(line) for line in text.splitlines()) <= 100


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
    from blocks.spec import Lmm, MemorySpec

    default = ModelSpec(block=Lmm(memory=MemorySpec(rule=RULES["titans"]())))
    assert load(SPECS / "models/titans_lmm.yaml") == default


def test_the_ablation_has_the_rows_of_table_5_and_two_models_without_the_memory():
    names = {run.variant for run in load(SPECS / "sweeps/titans_ablation.yaml").expand()}
    table = {"full", "linear-memory", "no-conv", "no-momentum", "no-decay", "no-persistent"}
    assert names == table | {"mac", "mag", "mal", "attention", "gated-delta"}
