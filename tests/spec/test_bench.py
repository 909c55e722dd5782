"""A bench spec: models by path or name, rules by name or with fields, and what cannot be timed."""

from pathlib import Path

import pytest

from playground.errors import SpecError
from playground.spec import BenchSpec, ShapesSpec, convert, load, to_dict, to_yaml
from tests.spec.samples import BENCH, write_samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_samples(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"kind: bench\n{text}")
    return path


def test_models_are_read_by_path_and_called_like_their_files(folder: Path) -> None:
    spec = load(folder / "bench.yaml")
    assert isinstance(spec, BenchSpec)
    assert spec.models == {"model": load(folder / "model.yaml")}
    assert [rule.name for rule in spec.rules] == ["delta", "titans chunk_size=8"]


def test_models_have_names_and_overrides_too(folder: Path) -> None:
    spec = load(
        write(folder, "models: {small: {extends: model.yaml, dim: 32, block.memory.conv: 0}}")
    )
    assert (spec.models["small"].dim, spec.models["small"].block.memory.conv) == (32, 0)
    assert load(folder / "own.yaml", "models.small.dim=16").models["small"].dim == 16


def test_a_bench_extends_another_and_replaces_models_of_the_same_name(folder: Path) -> None:
    write(folder, "extends: bench.yaml\nmodels: {model: hybrid.yaml}\nrepeats: 7")
    spec = load(folder / "own.yaml")
    assert spec.models == {"model": load(folder / "hybrid.yaml")}
    assert (spec.repeats, spec.rules) == (7, load(folder / "bench.yaml").rules)


def test_words_name_models_and_rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    spec = load("bench.yaml", "rules=[gla]", "models=[hybrid.yaml]", "shapes.length=[32, 64]")
    assert [rule.name for rule in spec.rules] == ["gla"]
    assert list(spec.models) == ["hybrid"]
    assert spec.every_shape()[0].length == (32, 64)


def test_rules_are_held_to_the_recurrence_alone(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"check.against: rules by themselves"):
        load(write(folder, "rules: [delta]\ncheck: {against: chunked}"))


def test_shapes_are_one_product_or_several(folder: Path) -> None:
    text = "rules: [delta]\nshapes: [{length: [64]}, {batch: [8], heads: [2]}]"
    sizes = load(write(folder, text)).every_shape()
    assert sizes == (ShapesSpec(length=(64,)), ShapesSpec(batch=(8,), heads=(2,)))


def test_a_rule_of_ones_own_is_relative_to_the_file(folder: Path) -> None:
    rule = """
from dataclasses import dataclass
from memory_rules import objectives
from memory_rules.linear import AbstractLinearRule

@dataclass(frozen=True, kw_only=True)
class Mine(AbstractLinearRule):
    kind = "mine"
    objective = staticmethod(objectives.l2)
"""
    (folder / "mine.py").write_text(rule)
    spec = load(write(folder, "rules: [mine.py:Mine]"))
    assert spec.rules[0].name == "mine"
    assert load(write(folder, "rules: [{kind: mine.py:Mine}]")).rules == spec.rules


def test_yaml_and_python_give_the_same_bench(folder: Path, tmp_path: Path) -> None:
    spec = load(folder / "bench.yaml")
    assert convert(BenchSpec, to_dict(spec)) == spec
    (folder / "again.yaml").write_text(to_yaml(spec))
    assert load(folder / "again.yaml") == spec


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"models": [], "rules": []}, "nothing to time"),
        ({"baseline": "compiled"}, "baseline: compiled is not among the paths"),
        ({"paths": ["eager", "eager"]}, "paths: .* twice"),
        ({"rules": ["delta", "delta"]}, "rules: .* twice"),
        ({"rules": ["detla"]}, "Did you mean 'delta'"),
        ({"peers": ["flaa"]}, "Did you mean 'fla'"),
        ({"models": ["model.yaml", "./model.yaml"]}, "two of them are called 'model'"),
        ({"models": [{"extends": "model.yaml"}]}, "models: .* is not a path"),
        ({"models": {"a": {"extends": "none.yaml"}}}, "models.a.*no such file"),
        ({"models": {"a": {"extends": "model.yaml", "dimm": 3}}}, "models.a.dimm"),
        ({"models": [], "modes": ["train_step"]}, "of models alone"),
        ({"shapes": {"length": [0]}}, "shapes.length: .* not all positive"),
        ({"shapes": []}, "shapes: it is empty"),
        ({"check": {"tolerance": 0}}, "check.tolerance: 0"),
        ({"modes": []}, "modes: it is empty"),
    ],
)
def test_what_cannot_be_timed_is_named(folder: Path, changed: dict, said: str) -> None:
    from tests.spec.samples import write as write_files

    write_files(folder, own={**BENCH, **changed})
    with pytest.raises(SpecError, match=said):
        load(folder / "own.yaml")
