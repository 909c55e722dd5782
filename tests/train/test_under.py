"""Trained weights scored under other values: named by them, and refused where they do not fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from blocks.spec import FeedForwardSpec
from playground.errors import SpecError
from playground.spec import load_run, override, to_yaml
from playground.train import RunStore, evaluate, train
from playground.train.run import train_together
from playground.train.under import check_evaluations
from tests.train.small import MEMORY, RUN

CHUNKS = ({"block.memory.chunk_size": 2}, {"block.memory.chunk_size": 4}, {"task.length": 24})
RULE = replace(MEMORY.block.memory.rule, max_lr=0.125)  # under another chunk size too
MODEL = replace(MEMORY, block=replace(MEMORY.block, memory=replace(MEMORY.block.memory, rule=RULE)))
BASE = replace(RUN, model=MODEL, train=replace(RUN.train, steps=3))
SPEC = replace(BASE, evaluate=CHUNKS)


def test_a_run_is_scored_under_every_override_by_name(tmp_path: Path):
    found = train(SPEC, tmp_path)
    own = found.metrics["test/loss"]
    assert found.metrics["test/loss@chunk_size=4"] == own  # its own
    assert found.metrics["test/accuracy@length=24"] >= 0
    other = found.metrics["test/loss@chunk_size=2"]
    assert other != own
    assert not {"val/loss@chunk_size=2", "test/tokens@chunk_size=2"} & set(found.metrics)


def test_the_scores_are_those_of_the_same_weights_in_the_other_model(tmp_path: Path):
    from playground.compile import build
    from playground.tasks import evaluate as score
    from playground.tasks import make_task
    from playground.train import restore

    found = train(SPEC, tmp_path)
    folder = RunStore(tmp_path).run(found.fingerprint).path
    other = build(override(SPEC, CHUNKS[0]).model)
    other.load_state_dict(restore(folder).state_dict())
    expected = score(make_task(SPEC.task), other, "test")["loss"]
    assert found.metrics["test/loss@chunk_size=2"] == expected
    longer = evaluate(folder, spec=BASE, length=24)["loss"]
    assert found.metrics["test/loss@length=24"] == longer


def test_a_run_is_scored_afterwards_in_its_own_precision(tmp_path: Path):
    spec = replace(BASE, dtype="bf16")
    result = train(spec, tmp_path)
    folder = RunStore(tmp_path).run(result.fingerprint).path
    assert result.computed == "cpu bf16"
    own = evaluate(folder, spec=spec)["loss"]
    assert own == result.metrics["test/loss"]
    assert evaluate(folder, spec=replace(spec, dtype="fp32"))["loss"] != own


def test_training_is_the_same_with_and_without(tmp_path: Path):
    plain, scored = train(BASE, tmp_path), train(SPEC, tmp_path)
    assert plain.metrics["test/loss"] == scored.metrics["test/loss"]
    assert plain.fingerprint != scored.fingerprint


def test_runs_of_one_program_are_each_scored(tmp_path: Path):
    block = replace(MODEL.block, feedforward=FeedForwardSpec(kind="gelu"))
    plain = replace(SPEC, model=replace(MODEL, block=block))  # dropout would keep them apart
    specs = [plain, replace(plain, seed=1)]
    together = train_together(specs, tmp_path / "together")
    for spec, one in zip(specs, together, strict=True):
        alone = train(spec, tmp_path / "alone").metrics
        for name in ("test/loss@chunk_size=2", "test/loss@length=24"):
            assert one.metrics[name] == pytest.approx(alone[name], rel=1e-5)


def test_an_override_that_changes_the_weights_is_refused_before_training(tmp_path: Path):
    spec = replace(BASE, evaluate=({"block.memory.expand": 2.0},))
    with pytest.raises(SpecError, match=r"evaluate\.0: under expand=2\.0 the model has other"):
        train(spec, tmp_path)
    assert not list(tmp_path.glob("*/checkpoints/*"))


def test_weights_are_not_scored_under_another_largest_step(tmp_path: Path):
    half = {"block.memory.chunk_size": 2}
    for size in (4, 12):  # a twelfth has no short decimal form
        spec = override(replace(BASE, model=MEMORY), {"block.memory.chunk_size": size})
        limit = 0.5 / size
        fix = rf"evaluate\.0: makes the largest step 0\.25; .* Add max_lr: {limit}"
        with pytest.raises(SpecError, match=fix):
            train(replace(spec, evaluate=(half,)), tmp_path)
        check_evaluations(replace(spec, evaluate=(half | {"block.memory.max_lr": limit},)))
    assert not list(tmp_path.iterdir())
    fixed = override(BASE, {"block.memory.lr": "fixed:0.05", "block.memory.max_lr": "auto"})
    check_evaluations(replace(fixed, evaluate=(half,)))  # no part of the largest step


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("evaluate=[{train.steps: 5}]", "model and task"),
        ("evaluate=[{}]", "model and task"),
        ("evaluate=[{seed: 3}]", "model and task"),
        ("evaluate=[{block.memory.chunksize: 3}]", "Did you mean 'chunk_size'"),
        ("evaluate=[{task.length: 20}, {length: 20}]", "twice"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_of_the_spec(tmp_path: Path, word: str, problem: str):
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(BASE))
    with pytest.raises(SpecError, match=problem) as caught:
        load_run(file, word)
    assert caught.value.path.startswith("evaluate.")
