"""A trained model is scored, exported and restored."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from playground.errors import PlaygroundError, SpecError
from playground.spec import ModelSpec, RunSpec, load, load_run
from playground.train import RunFolder, evaluate, export, restore, stored_run, train
from tests.train.small import MEMORY, RUN, run_with, trained

OWN_RULE = """
from collections.abc import Mapping
from dataclasses import dataclass
from memory_rules import AbstractGradientRule

@dataclass(frozen=True, kw_only=True)
class Leaky(AbstractGradientRule):
    scale: float = 1.0
    momentum = "none"

    def shapes(self, dim: int) -> Mapping[str, tuple[int, int]]:
        return {"w": (dim, dim)}

    def read(self, dense, x):
        return dense("w", x)

    def objective(self, prediction, target):
        return self.scale * (prediction - target).square().sum()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    spec = run_with(replace(RUN, model=MEMORY), steps=3)
    return trained(spec, tmp_path_factory.mktemp("runs"))[1]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(10)[None])


def test_an_evaluation_repeats_the_result(run: RunFolder):
    result = run.result()
    assert result is not None
    scores = evaluate(run.path, spec=stored_run(run.path))
    assert scores["loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)


def test_a_frozen_memory_scores_differently_and_another_length_can_be_asked_for(run: RunFolder):
    spec = stored_run(run.path)
    plain, frozen = evaluate(run.path, spec=spec), evaluate(run.path, spec=spec, freeze_memory=True)
    assert plain["loss"] != frozen["loss"]
    assert evaluate(run.path, spec=spec, length=20)["loss"] != plain["loss"]
    with pytest.raises(SpecError, match="cannot hold"):
        evaluate(run.path, spec=spec, length=1)


def test_a_model_with_other_weights_than_the_stored_one_is_refused(run: RunFolder):
    spec = stored_run(run.path)
    with pytest.raises(SpecError, match=r"is not the model in .*: it has other weights"):
        evaluate(run.path, spec=replace(spec, model=replace(spec.model, dim=32)))


def test_an_exported_model_gives_the_same_logits(run: RunFolder, tmp_path: Path):
    folder = export(run, tmp_path / "out")
    assert torch.equal(logits(restore(folder)), logits(restore(run.path)))
    assert isinstance(load(folder), ModelSpec)
    assert stored_run(folder) == load_run(run.spec_path)
    scores = evaluate(folder, spec=stored_run(folder))
    assert scores == evaluate(run.path, spec=stored_run(run.path))
    export(run, folder)  # again into the same folder


def test_an_export_does_not_overwrite_other_files(run: RunFolder, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(PlaygroundError, match="not empty"):
        export(run, tmp_path)


def test_an_export_carries_a_rule_of_ones_own(tmp_path: Path):
    (tmp_path / "rules.py").write_text(OWN_RULE)
    memory = f"{{kind: {tmp_path}/rules.py:Leaky, heads: 2, scale: 0.5}}"
    (tmp_path / "model.yaml").write_text(
        f"kind: model\nvocab: 32\ndim: 16\ndepth: 1\nblock: {{kind: lmm, memory: {memory}}}\n"
    )
    words = ("task.kind=mqar", "task.vocab=32", "task.length=12", "task.pairs=2", "compile=false")
    spec = load_run(tmp_path / "model.yaml", *words, "task.test_examples=4")
    assert isinstance(spec, RunSpec)
    result, kept = trained(run_with(spec, steps=1, batch=2), tmp_path / "runs")
    assert result.ok
    folder = export(kept, tmp_path / "out")
    before = logits(restore(kept.path))
    for path in (tmp_path / "rules.py", tmp_path / "model.yaml"):
        path.unlink()
    moved = folder.rename(tmp_path / "elsewhere")
    assert torch.equal(logits(restore(moved)), before)


def test_what_is_not_trained_cannot_be_restored(tmp_path: Path, run: RunFolder):
    folder = RunFolder(tmp_path / "x")
    folder.write_spec(run.spec_path.read_text())
    with pytest.raises(PlaygroundError, match="no checkpoint"):
        restore(folder.path)
    with pytest.raises(PlaygroundError, match="no checkpoint"):
        export(folder, tmp_path / "y")


def test_weights_of_another_model_are_named(run: RunFolder, tmp_path: Path):
    folder = export(run, tmp_path / "out")
    spec = folder / "spec.yaml"
    spec.write_text(spec.read_text().replace("dim: 16", "dim: 32"))
    with pytest.raises(PlaygroundError, match="do not fit"):
        restore(folder)


def test_two_models_of_one_name_do_not_share_a_run(tmp_path: Path):
    first = train(run_with(steps=1), tmp_path)
    second = train(run_with(steps=2), tmp_path)
    assert first.fingerprint != second.fingerprint
