"""Tuning before the comparison: fresh seeds, the validation split, edges, all from the store."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground.errors import SpecError
from playground.report import build, write
from playground.spec import BaseSpec, SweepSpec, Text, TuneSpec, VariantSpec
from playground.train import RunStore
from search.plan import SweepPlan, plan_sweep
from search.sweep import run_sweep
from tests.search.test_plan import SWEEP, end
from tests.train.small import ATTENTION

LR = "train.optim.lr"
GRID = (1e-3, 3e-3, 1e-2)
ONE = {"wide": SWEEP.variants["wide"]}
Score = Callable[[str, Mapping[str, Any], int], float]


def tuning(**fields: object) -> SweepSpec:
    tune = TuneSpec(**{"grid": {LR: GRID}, "seeds": 2, **fields})  # pyright: ignore
    return replace(SWEEP, variants=ONE, tune=tune)


def near(best: float) -> Score:
    """Loss by the distance to a learning rate, in factors; the seed adds noise of one sign."""
    return lambda variant, values, seed: max(values[LR] / best, best / values[LR]) + 0.01 * seed


def finished(spec: SweepSpec, root: Path, score: Score, metric: str = "val/loss") -> SweepPlan:
    """The plan after all its tuning runs have ended with these scores; NaN fails a run."""
    store = RunStore(root)
    plan = plan_sweep(spec, "tuned", store)
    while plan.waiting:
        todo = plan.todo(store)
        assert todo
        for job in todo:
            value = score(job.variant, job.tried, job.seed % 10)
            end(store, job, {metric: value} if value == value else None)
        plan = plan.again(store)
    return plan


def test_a_score_without_a_known_end_cannot_choose():
    with pytest.raises(SpecError, match=r"tune\.select: nobody said"):
        plan_sweep(tuning(select="val/unheard_of"), "tuned")


def test_a_value_is_chosen_by_its_mean_over_the_places(tmp_path: Path):
    spec = replace(tuning(seeds=1), across={"train.batch": (2, 4)})
    store = RunStore(tmp_path)
    plan = plan_sweep(spec, "tuned", store)
    loss = {2: {1e-3: 1.0, 3e-3: 2.0, 1e-2: 9.0}, 4: {1e-3: 9.0, 3e-3: 2.0, 1e-2: 1.0}}
    assert plan.waiting == len(plan.runs) == 2 * 2 * 2
    todo = plan.todo(store)
    assert {(job.variant, job.at, job.tried[LR]) for job in todo} == {
        (name, f"train.batch={n}", rate) for name in ("full", "wide") for n in loss for rate in GRID
    }
    for job in todo:
        end(store, job, {"val/loss": loss[job.spec.train.batch][job.tried[LR]]})
    plan = plan.again(store)
    assert [found.chosen for found in plan.tuned.values()] == [{LR: 3e-3}] * 2
    assert [job.at for job in plan.jobs[:4]] == ["train.batch=2"] * 2 + ["train.batch=4"] * 2
    assert {job.spec.train.optim.lr for job in plan.jobs} == {3e-3}


def test_a_score_of_the_test_split_cannot_choose():
    for select in ("test/loss", "loss"):
        with pytest.raises(SpecError, match=rf"select: {select} is no score of the val split"):
            tuning(select=select)


def test_a_score_that_the_runs_do_not_have_cannot_choose(tmp_path: Path):
    with pytest.raises(SpecError, match=r"tune\.select: a run has no such score\.\n  allowed: val"):
        finished(tuning(select="val/accuracy"), tmp_path, near(3e-3))


def test_nothing_is_tuned_on_the_text_of_the_test(tmp_path: Path):
    (tmp_path / "text.txt").write_text("one and two and three are six\n" * 200)
    task = Text(corpus=str(tmp_path / "text.txt"), length=16, split=(0.9, 0.1, 0.0))
    base = BaseSpec.of(replace(ATTENTION, vocab=256))
    with pytest.raises(SpecError, match=r"task\.split: the test part is the same text as val"):
        plan_sweep(replace(tuning(), base=base, task=task), "tuned")
    apart = replace(task, split=(0.8, 0.1, 0.1))
    assert plan_sweep(replace(tuning(), base=base, task=apart), "tuned").tuning


def test_a_variant_or_grid_of_what_is_tuned_is_refused():
    fast = {"fast": VariantSpec(overrides={"optim.lr": 1e-2})}
    with pytest.raises(SpecError, match=r"variants\.fast\.optim\.lr: every variant runs at"):
        plan_sweep(replace(tuning(), variants=fast), "tuned")
    with pytest.raises(SpecError, match=r"grid\.train\.optim\.lr: every variant runs at"):
        plan_sweep(replace(tuning(), variants={}, grid={LR: GRID}), "tuned")


def test_tuning_runs_never_read_the_test_split():
    spec = replace(SWEEP, variants=ONE, evaluate=({"task.length": 24},), tune=tuning().tune)
    plan = plan_sweep(spec, "tuned")
    assert plan.tuning
    assert not any(job.spec.train.score_test or job.spec.evaluate for job in plan.tuning)


def test_first_come_the_runs_of_the_grid_with_seeds_of_their_own():
    plan = plan_sweep(tuning(), "tuned")
    assert (len(plan.tuning), len(plan.jobs), plan.waiting) == (2 * 3 * 2, 0, 4)
    assert {job.seed for job in plan.tuning} == {1_000_000, 1_000_001}
    assert {job.spec.train.optim.lr for job in plan.tuning} == set(GRID)
    assert plan.tuning[0].label == "full lr=0.001 #1000000"
    runs = plan.to_dict()["variants"]["full"]["runs"]
    assert [run["fingerprint"] for run in runs] == [None, None]


def test_every_variant_is_compared_at_its_own_best(tmp_path: Path):
    def score(variant: str, values: Mapping[str, Any], seed: int) -> float:
        return near(3e-3 if variant == "full" else 1e-2)(variant, values, seed)

    plan = finished(tuning(edge="warn"), tmp_path, score)
    chosen = {job.variant: job.spec.train.optim.lr for job in plan.jobs}
    assert chosen == {"full": 3e-3, "wide": 1e-2}
    assert [(job.variant, job.seed) for job in plan.jobs] == [
        (name, seed) for name in ("full", "wide") for seed in (0, 1)
    ]
    assert plan.tuned["full"].edges == ()
    assert plan.tuned["wide"].edges == (LR,)


def test_one_seed_does_not_decide(tmp_path: Path):
    def score(variant: str, values: Mapping[str, Any], seed: int) -> float:
        lucky = {1e-3: (0.0, 9.0), 3e-3: (2.0, 2.0), 1e-2: (9.0, 1.0)}
        return lucky[values[LR]][seed]

    plan = finished(tuning(), tmp_path, score)
    assert plan.jobs[0].spec.train.optim.lr == 3e-3


def test_a_grid_whose_edge_is_best_grows_until_it_is_not(tmp_path: Path):
    plan = finished(tuning(), tmp_path, near(0.1))
    tried = [point.values[LR] for point in plan.tuned["full"].points]
    assert tried == [1e-3, 3e-3, 1e-2, 0.0333, 0.111, 0.37]
    assert [point.round for point in plan.tuned["full"].points] == [0, 0, 0, 1, 2, 3]
    assert [len(jobs) for jobs in plan.rounds] == [12, 4, 4, 4, 4]
    assert plan.jobs[0].spec.train.optim.lr == 0.111
    assert plan.tuned["full"].edges == ()
    down = finished(tuning(), tmp_path / "down", near(1e-4))
    assert [p.values[LR] for p in down.tuned["full"].points][3:] == [0.000333, 0.000111, 3.7e-05]


def test_a_grid_does_not_grow_for_ever(tmp_path: Path):
    plan = finished(tuning(), tmp_path, lambda variant, values, seed: -values[LR])
    assert len(plan.tuned["full"].points) == 3 + 4
    assert plan.tuned["full"].edges == (LR,)


def test_an_edge_can_refuse_the_comparison(tmp_path: Path):
    with pytest.raises(SpecError, match=r"tune.grid.train.optim.lr: 'full' is best at 0.01"):
        finished(tuning(edge="error"), tmp_path, near(1.0))


def test_a_point_with_a_failed_run_is_not_chosen(tmp_path: Path):
    def score(variant: str, values: Mapping[str, Any], seed: int) -> float:
        if values[LR] == 1e-2 and seed == 1:
            return float("nan")
        return -values[LR]

    plan = finished(tuning(edge="warn"), tmp_path, score)
    assert plan.jobs[0].spec.train.optim.lr == 3e-3
    assert plan.tuned["full"].to_dict()["points"][2]["score"] is None


def test_a_variant_of_which_every_point_failed_runs_as_it_is_written(tmp_path: Path):
    plan = finished(tuning(), tmp_path, lambda variant, values, seed: float("nan"))
    assert plan.tuned["full"].chosen == {}
    assert plan.jobs[0].spec.train.optim == SWEEP.train.optim
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.json").write_text(json.dumps(plan.to_dict()))
    assert "But not, for nothing was found that counts: full, wide." in " ".join(
        build(folder, tmp_path).summary()
    )


def test_scores_that_should_be_high_are_chosen_high(tmp_path: Path):
    spec = tuning(select="val/accuracy", edge="warn")
    score = near(3e-3)
    plan = finished(spec, tmp_path, lambda v, x, s: -score(v, x, s), metric="val/accuracy")
    assert plan.jobs[0].spec.train.optim.lr == 3e-3


def test_several_keys_are_a_product_and_words_have_no_edge(tmp_path: Path):
    grid = {LR: (1e-3, 1e-2), "train.optim.schedule": ("cosine", "constant")}

    def score(variant: str, values: Mapping[str, Any], seed: int) -> float:
        constant = values["train.optim.schedule"] == "constant"
        return near(3e-2)(variant, values, seed) - constant

    plan = finished(tuning(grid=grid), tmp_path, score)
    assert plan.jobs[0].spec.train.optim.lr == 1e-2
    assert plan.jobs[0].spec.train.optim.schedule == "constant"
    assert len(plan.tuned["full"].points) == 6


def test_seeds_of_the_comparison_and_of_tuning_never_meet():
    with pytest.raises(SpecError, match="seeds"):
        replace(tuning(), seeds=(0, 1_000_001))


def test_a_value_that_a_variant_cannot_take_is_refused_by_name():
    with pytest.raises(SpecError, match=r"tune.grid, variant full.*train.optim.lr"):
        plan_sweep(tuning(grid={LR: (1e-3, -1.0)}), "tuned")
    with pytest.raises(SpecError, match=r"train\.optim\.lrr"):
        plan_sweep(tuning(grid={"train.optim.lrr": (1e-3,)}), "tuned")


def test_a_tuned_sweep_runs_from_nothing_to_a_report_with_its_figure(tmp_path: Path):
    store, folder = RunStore(tmp_path / "runs"), tmp_path / "sweeps" / "tuned"
    spec = replace(tuning(seeds=1, grid={LR: (1e-4, 1e-3)}, edge="warn"), variants=ONE)
    rounds: list[int] = []
    plan = run_sweep(
        plan_sweep(spec, "tuned", store),
        store=store,
        folder=folder,
        workers=2,
        planned=lambda plan, todo: rounds.append(len(todo)),
    )
    assert rounds == [4, 4, 0]
    assert plan.waiting == 0
    scores = {p.values[LR]: p.score for p in plan.tuned["full"].points}
    assert plan.jobs[0].spec.train.optim.lr == min(scores, key=lambda lr: scores[lr] or 0.0)
    found = build(folder, store.root)
    assert found.problems() == []
    assert "own best train.optim.lr by val/loss" in found.summary()[-1]
    assert "## Tuning" in found.markdown()
    assert "Sensitivity to train.optim.lr" in found.html()
    names = [path.name for path in write(found, folder, ["svg"])]
    assert f"tuning-{LR}.svg" in names
    again: list[int] = []
    run_sweep(plan, store=store, folder=folder, planned=lambda p, todo: again.append(len(todo)))
    assert again == [0]


def test_runs_of_the_tuning_that_failed_are_told(tmp_path: Path):
    store, folder = tmp_path / "runs", tmp_path / "sweeps" / "tuned"

    def score(variant: str, values: Mapping[str, Any], seed: int) -> float:
        return near(3e-3)(variant, values, seed) if values[LR] < 1e-2 or seed else float("nan")

    plan = finished(tuning(edge="warn"), store, score)
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(plan.to_dict()))
    found = build(folder, store)
    assert "2 of its runs failed; a value with such a run is not taken" in found.markdown()
    assert "Failed: train.optim.lr: 0.01, seed 1000000" in found.markdown()


def test_two_keys_of_one_field_are_not_tuned():
    with pytest.raises(SpecError, match=r"tune.grid.optim.lr: overlaps 'train.optim.lr'"):
        plan_sweep(tuning(grid={LR: GRID, "optim.lr": GRID}), "tuned")
