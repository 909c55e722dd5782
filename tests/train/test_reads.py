"""Models of frames and of series: trained, stacked, exported, compiled, explained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blocks.reads import Frames, Series
from blocks.spec import FeedForwardSpec, Lmm, MemorySpec
from memory_rules import RULES
from playground.compile import Target, build, make_plan
from playground.compile.flops import flops_per_token
from playground.errors import PlaygroundError, SpecError
from playground.spec import Forecast, ModelSpec, Music, OptimSpec, RunSpec, TrainSpec, load_model
from playground.tasks import evaluate as evaluated
from playground.tasks import make_task
from playground.train import evaluate, export, generate, restore, stored_run, train
from playground.train.costs import costs_of_spec
from playground.train.prepare import prepare_model
from playground.train.run import train_together
from tests.train.small import losses, run_with, trained

FRAMES = ModelSpec(
    dim=16,
    depth=1,
    persistent_tokens=1,
    reads=Frames(),
    block=Lmm(
        memory=MemorySpec(rule=RULES["titans"](chunk_size=4, expand=1.0), heads=2, conv=2),
        feedforward=FeedForwardSpec(kind="gelu", expand=1.0),
    ),
)
SERIES = replace(FRAMES, reads=Series(patch=8, stride=8, skip="linear"))
TRAIN = TrainSpec(
    steps=6,
    batch=4,
    eval_every=3,
    eval_batches=1,
    checkpoint_every=2,
    log_every=1,
    optim=OptimSpec(lr=1e-2, warmup=2.0),
)
FRAMES_RUN = RunSpec(model=FRAMES, task=Music(length=8), train=TRAIN, compile=False, device="cpu")
SERIES_RUN = replace(FRAMES_RUN, model=SERIES, task=Forecast(lookback=24, horizon=6))
RUNS = pytest.mark.parametrize("spec", [FRAMES_RUN, SERIES_RUN], ids=["frames", "series"])


def said(model: torch.nn.Module) -> torch.Tensor:
    x = torch.ones_like(model.example(2, 8))  # pyright: ignore
    with torch.no_grad():
        return model(x)


@RUNS
def test_a_run_learns_and_its_scores_are_those_of_its_weights(spec: RunSpec, tmp_path: Path):
    result, folder = trained(run_with(spec, steps=30), tmp_path)
    assert result.ok
    rows = list(losses(folder).values())
    assert rows[-1] < 0.8 * rows[0]
    assert result.tokens == 30 * 4 * (8 if spec is FRAMES_RUN else 24)
    again = evaluate(folder.path, spec=stored_run(folder.path))
    assert again["loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)
    assert result.params == costs_of_spec(spec.model).params


def test_a_fitted_map_begins_at_the_floor(tmp_path: Path):
    reads = replace(SERIES.reads, normalise="last", skip="fitted")  # pyright: ignore
    spec = replace(SERIES_RUN, model=replace(SERIES, reads=reads), seed=5)
    task = make_task(spec.task)
    model = prepare_model(spec, task, torch.device("cpu"))
    with torch.no_grad():
        model.head.weight.zero_()  # pyright: ignore
    scores, floors = evaluated(task, model, "test"), task.floors()
    assert scores["mse"] == pytest.approx(floors["linear_mse"], rel=1e-5)
    assert scores["mae"] == pytest.approx(floors["linear_mae"], rel=1e-5)
    with pytest.raises(SpecError, match="needs the windows of the task forecast"):
        prepare_model(spec, make_task(Music(length=8)), torch.device("cpu"))


@RUNS
def test_runs_together_are_runs_alone(spec: RunSpec, tmp_path: Path):
    specs = [spec, replace(spec, seed=3)]
    found = train_together(specs, tmp_path / "together")
    for one, two in zip(specs, found, strict=True):
        alone = train(one, tmp_path / "alone")
        assert alone.fingerprint == two.fingerprint
        assert alone.metrics["test/loss"] == pytest.approx(two.metrics["test/loss"], rel=1e-5)


@RUNS
def test_an_exported_model_is_the_same(spec: RunSpec, tmp_path: Path):
    _, folder = trained(run_with(spec, steps=1), tmp_path / "runs")
    out = export(folder, tmp_path / "out")
    assert load_model(out / "spec.yaml") == spec.model
    assert torch.equal(said(restore(out)), said(restore(folder.path)))
    assert evaluate(out, spec=stored_run(out)) == evaluate(folder.path, spec=spec_of(folder))


def spec_of(folder) -> RunSpec:
    return stored_run(folder.path)


@RUNS
def test_nothing_can_be_sampled_from_it(spec: RunSpec):
    with pytest.raises(PlaygroundError, match=r"it reads (frames|series), and only a model of tok"):
        generate(build(spec.model), spec.model, [[1, 2]], tokens=3)


@RUNS
def test_its_plan_names_its_ends_and_counts_them(spec: RunSpec):
    plan = make_plan(spec.model, Target(compile=False))
    shapes = {node.name: node.shape for node in plan.nodes}
    if spec is FRAMES_RUN:
        assert (shapes["embedding"], shapes["head"]) == ("88 x 16", "16 x 88")
        ends = 2 * 16 * 88 * 2
    else:
        assert shapes["embedding"] == "3 patches: 8 x 16"
        assert shapes["head"] == "16 x 6, and 24 x 6"
        ends = 2 * 8 * 16 + 2 * (16 * 6 + 24 * 6) / 3
    without = sum(part.flops for part in _nodes(plan) if part.name not in ("embedding", "head"))
    assert flops_per_token(plan, 3) == pytest.approx(without + ends, abs=1)


def _nodes(plan):
    from playground.compile.flops import node_flops

    return node_flops(plan, 3)


def test_a_model_without_its_task_has_no_size_to_be_built_with():
    with pytest.raises(SpecError, match=r"reads.lookback: is missing.*give a run with its task"):
        build(SERIES)
    with pytest.raises(SpecError, match=r"reads.width: is missing"):
        costs_of_spec(FRAMES)


@RUNS
@pytest.mark.compile
@pytest.mark.slow
def test_compiled_it_says_the_same(spec: RunSpec, tmp_path: Path):
    plain = train(spec, tmp_path)
    compiled = train(replace(spec, compile=True), tmp_path)
    assert compiled.metrics["test/loss"] == pytest.approx(plain.metrics["test/loss"], rel=1e-4)
