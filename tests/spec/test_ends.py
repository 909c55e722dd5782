"""What a model reads: sizes from the task, mismatches, and identities of earlier runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from blocks.reads import Frames, Series, Tokens
from playground.errors import SpecError
from playground.spec import (
    BenchSpec,
    Forecast,
    ModelSpec,
    Mqar,
    Music,
    RunSpec,
    SearchSpec,
    SweepSpec,
    canonical_json,
    convert,
    fingerprint,
    load,
    load_run,
    override,
    to_dict,
    to_yaml,
)
from tests.spec.samples import RUN, write

BLOCK = {"kind": "lmm", "memory": {"kind": "delta"}}
SERIES = ModelSpec(block=convert(ModelSpec, {"block": BLOCK}).block, reads=Series())
FRAMES = replace(SERIES, reads=Frames())


def test_the_sizes_that_a_model_leaves_open_are_the_tasks() -> None:
    run = RunSpec(model=SERIES, task=Forecast(lookback=48, horizon=12))
    assert run.model.reads == Series(lookback=48, horizon=12)
    assert RunSpec(model=FRAMES, task=Music()).model.reads == Frames(width=88, outputs=88)
    assert convert(RunSpec, to_dict(run)) == run


def test_a_run_is_the_same_whether_its_sizes_were_written_or_not(tmp_path: Path) -> None:
    model = {"block": BLOCK, "reads": {"kind": "series"}}
    write(tmp_path, r={"kind": "run", "model": model, "task": {"kind": "forecast"}})
    run = load_run(tmp_path / "r.yaml", "task.horizon=192")
    same = load_run(tmp_path / "r.yaml", "task.horizon=192", "model.reads.horizon=192")
    assert run == same
    assert canonical_json(run) == canonical_json(same)
    write(tmp_path, again=to_yaml(run))
    assert load(tmp_path / "again.yaml") == run


def test_a_grid_over_the_horizon_needs_nothing_else() -> None:
    base = {"extends": to_dict(SERIES, defaults=False)}
    sweep = convert(
        SweepSpec,
        {"base": base, "task": {"kind": "forecast"}, "grid": {"task.horizon": [96, 192]}},
    )
    horizons = {run.spec.model.reads.horizon for run in sweep.expand()}  # pyright: ignore
    assert horizons == {96, 192}


@pytest.mark.parametrize(
    ("model", "task", "problem"),
    [
        (SERIES, Mqar(), r"model.reads.kind: the model reads series.*Write model.reads.kind: tok"),
        (replace(FRAMES, reads=Tokens()), Music(), r"reads tokens.*Write model.reads.kind: frames"),
        (FRAMES, Forecast(), r"reads frames, the examples of the task are series"),
        (replace(SERIES, reads=Series(horizon=24)), Forecast(), r"reads.horizon: 24 is not .*96"),
        (replace(FRAMES, reads=Frames(width=12)), Music(), r"reads.width: 12 is not the task's 88"),
        (SERIES, Forecast(lookback=8), r"reads.patch: 16 values are more than lookback = 8"),
    ],
)
def test_a_model_that_does_not_fit_its_task_says_what_to_write(model, task, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        RunSpec(model=model, task=task)


def test_what_is_of_tokens_is_not_of_other_models() -> None:
    with pytest.raises(SpecError, match=r"vocab: is of tokens, and this model reads frames"):
        replace(FRAMES, vocab=88)
    with pytest.raises(SpecError, match=r"tie_embeddings: .*write true"):
        replace(SERIES, tie_embeddings=False)


def test_benches_and_searches_are_of_models_of_tokens() -> None:
    with pytest.raises(SpecError, match=r"models.a: the model reads frames"):
        BenchSpec(models={"a": FRAMES})
    search = convert(
        SearchSpec,
        {
            "base": {"extends": to_dict(FRAMES, defaults=False)},
            "task": {"kind": "music"},
            "space": {"dim": [32, 64]},
        },
    )
    with pytest.raises(SpecError, match=r"a search is of models of tokens"):
        search.first()


def test_runs_of_before_are_still_found() -> None:
    """Their identities, as they were before models could read anything but tokens."""
    spec = convert(RunSpec, {**RUN, "model": {"dim": 64, "block": BLOCK}})
    assert fingerprint(spec, "data") == BEFORE
    for later in (replace(spec.model, dropout=0.1), replace(spec.model, vocab=300)):
        assert fingerprint(replace(spec, model=later), "data") != BEFORE
    best = replace(spec, train=replace(spec.train, keep="best"))
    assert fingerprint(best, "data") != BEFORE
    assert fingerprint(RunSpec(model=FRAMES, task=Music())) != BEFORE


BEFORE = "1cb790a2790f8c854a556ca57c6eeb12753b51d5b82982483bfe5485a6a6edec"  # NUMERICS_VERSION 3


def test_an_override_of_a_task_may_change_a_size_that_the_model_has_from_it() -> None:
    other = override(RunSpec(model=SERIES, task=Forecast(horizon=96)), {"task.horizon": 192})
    assert other == RunSpec(model=SERIES, task=Forecast(horizon=192))


@pytest.mark.parametrize(
    ("before", "after", "name", "value"),
    [
        ("delta", "titans", "max_lr", "auto"),
        ("titans", "yaad", "momentum", "none"),
        ("titans", "momentum_delta", "start", "zero"),
    ],
)
def test_another_kind_of_rule_has_defaults_of_its_own(
    before: str, after: str, name: str, value: str
) -> None:
    block = {"kind": "lmm", "memory": {"kind": before, "heads": 2}}
    run = convert(RunSpec, {"model": {"block": block}, "task": {"kind": "text"}})
    memory = override(run, {"block.memory.kind": after}).model.block.memory
    assert getattr(memory.rule, name) == value
    assert memory.heads == 2
    nested = override(run, {"block.memory": {"kind": after}}).model.block.memory
    assert nested == memory
    kept = override(run, {"block.memory.max_lr": 0.25})
    assert override(kept, {"block.memory.kind": after}).model.block.memory.rule.max_lr == 0.25
