"""Words of the command line: entries by name, models by their files, keys of another level."""

from pathlib import Path

import pytest

from playground import SpecError
from playground.spec import RunSpec, SweepSpec, load

SPECS = Path(__file__).parents[2] / "specs"
SWEEP = f"""
kind: sweep
base: {{extends: {SPECS}/models/titans_lmm.yaml, dim: 64, depth: 1}}
task: {{kind: text, corpus: python-stdlib, length: 64}}
variants:
  nm: {{block.memory.momentum: none}}
  nd: {{block: {{memory: {{decay: none}}}}}}
grid: {{block.memory.chunk_size: [8, 16]}}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP)
    return file


def loaded(file: Path, *words: str) -> SweepSpec:
    spec = load(file, *words)
    assert isinstance(spec, SweepSpec)
    return spec


def memories(spec: SweepSpec) -> dict[str, object]:
    return {run.variant: run.spec.model.block.memory.rule for run in spec.expand()}


def test_null_takes_an_entry_out(sweep: Path) -> None:
    assert list(loaded(sweep, "variants.nd=null").variants) == ["nm"]
    with pytest.raises(SpecError, match=r"no other in variants to take out.*\n  in: key=value"):
        load(sweep, "variants.other=null")


def test_the_baseline_that_the_words_name_is_not_taken_out(sweep: Path) -> None:
    assert list(loaded(sweep, "baseline=nd", "variants.nm=null").variants) == ["nd"]
    with pytest.raises(SpecError, match=r"variants.nd: nd is the baseline"):
        load(sweep, "variants.nd=null", "baseline=nd")


def test_an_entry_keeps_its_dotted_key(sweep: Path) -> None:
    spec = loaded(sweep, "variants.nm.block.memory.momentum=head")
    assert spec.variants["nm"].overrides == {"block.memory.momentum": "head"}
    spec = loaded(sweep, "variants.nd.block.memory.decay=head")
    assert spec.variants["nd"].overrides == {"block": {"memory": {"decay": "head"}}}
    assert loaded(sweep, "grid.block.memory.chunk_size=[4]").grid == {
        "block.memory.chunk_size": (4,)
    }


def test_a_model_by_its_file_takes_the_place_of_the_one_before(sweep: Path, tmp_path: Path) -> None:
    bare = ("variants.nm=null", "variants.nd=null", "grid.block.memory.chunk_size=null")
    spec = loaded(sweep, *bare, "grid.dim=[32]", f"base={SPECS}/models/delta.yaml", "base.depth=2")
    assert {run.spec.model.depth for run in spec.expand()} == {2}
    assert {type(rule).__name__ for rule in memories(spec).values()} == {"Delta"}
    spec = loaded(sweep, *bare, "grid.dim=[32]", f"variants.x={{extends: {SPECS}/models/gla.yaml}}")
    assert {type(rule).__name__ for rule in memories(spec).values()} == {"Titans", "Gla"}
    run = tmp_path / "run.yaml"
    run.write_text(f"kind: run\nmodel: {SPECS}/models/gla.yaml\ntask: {{kind: text}}\n")
    found = load(run, f"model={SPECS}/models/delta.yaml", "model.dim=32")
    assert isinstance(found, RunSpec)
    assert found.model == load(SPECS / "models/delta.yaml", "dim=32")
    with pytest.raises(
        SpecError, match=r"base.extends: .*there is no such file(.|\n)*in: key=value"
    ):
        load(sweep, "base=nothing.yaml")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("variants={}", "changes nothing. Write variants.NAME=null to take an entry out."),
        ("train={}", "train: an empty mapping changes nothing. Leave the word out."),
        ("dim=32", "dim: SweepSpec has no such field. Did you mean 'base.dim'?"),
        ("model.block.memory.momentum=none", "Did you mean 'base.block.memory.momentum'?"),
        ("base.block.memory.momentum=0.9", "0.9 is not text. Write fixed:0.9.\n  allowed: fixed:"),
        (
            "base.block.memory.decay=no",
            "False is not text. Write one of its words.\n  allowed: cha",
        ),
        ("variants.nx=null", "there is no nx in variants to take out. There are "),
        ("variants.full=null", "full is the baseline, which is always run. Name another with "),
        ("grid.depth=null", "there is no depth in grid to take out. There are "),
        ("foo=1", "foo: SweepSpec has no such field.\n  allowed: across, "),
    ],
)
def test_a_word_without_effect_or_of_another_level_is_refused(
    sweep: Path, word: str, said: str
) -> None:
    with pytest.raises(SpecError) as error:
        load(sweep, word)
    assert said in str(error.value)
    assert "in: key=value on the command line" in str(error.value)


def test_a_key_of_a_run_is_offered_before_one_of_its_model() -> None:
    run = SPECS / "runs/train_text.yaml"
    for word, said in (("Seed=1", "Did you mean 'seed'?"), ("trian.steps=4", "mean 'train'?")):
        with pytest.raises(SpecError, match=r"RunSpec has no such field.") as error:
            load(run, word)
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("base:", "model:", "model: SweepSpec has no such field. Write it as base."),
        ("variants:", "train.steps: 3\nvariants:", "Write train: with steps below it;"),
    ],
)
def test_a_file_with_a_key_of_another_level_says_where_it_goes(
    sweep: Path, old: str, new: str, said: str
) -> None:
    sweep.write_text(SWEEP.replace(old, new))
    with pytest.raises(SpecError) as error:
        load(sweep)
    assert said in str(error.value)
