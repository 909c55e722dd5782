"""A sweep as runs: paired seeds, identities, what is left to do, who takes what."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from playground.spec import BaseSpec, EngineSpec, SweepSpec, VariantSpec, fingerprint
from playground.tasks import make_task
from playground.train import Result, RunStore
from search.bundle import Bundle
from search.job import Job
from search.local import Local
from search.plan import SweepPlan, overrides, plan_sweep
from search.queue import Queue
from tests.train.small import ATTENTION, RUN, TASK, TRAIN

SWEEP = SweepSpec(
    base=BaseSpec.of(ATTENTION),
    task=TASK,
    train=TRAIN,
    variants={
        "wide": VariantSpec(overrides={"block.feedforward.expand": 2.0}),
        "slow": VariantSpec(overrides={"train.optim.lr": 1e-4}),
    },
    seeds=2,
    compile=False,
    device="cpu",
)


@pytest.fixture
def plan() -> SweepPlan:
    return plan_sweep(SWEEP, "small")


def test_every_variant_has_every_seed_and_the_baseline_comes_first(plan: SweepPlan):
    found = [(job.variant, job.seed) for job in plan.jobs]
    names = ("full", "wide", "slow")
    assert found == [(name, seed) for name in names for seed in (0, 1)]
    assert len({job.fingerprint for job in plan.jobs}) == 6


def test_a_run_has_the_identity_that_training_it_alone_gives(plan: SweepPlan):
    job = plan.jobs[0]
    assert job.spec == RUN
    assert job.fingerprint == fingerprint(RUN, make_task(TASK).data_sha())


def test_runs_that_differ_in_seed_or_schedule_share_their_compiled_programs(plan: SweepPlan):
    graphs = {job.variant: job.graph for job in plan.jobs}
    assert graphs["full"] == graphs["slow"] != graphs["wide"]
    assert len({job.graph for job in plan.jobs}) == 2


def test_overrides_say_what_a_variant_changes(plan: SweepPlan):
    assert plan.overrides["full"] == {}
    assert plan.overrides["wide"] == {"block.feedforward.expand": 2.0}
    assert plan.overrides["slow"] == {"train.optim.lr": 1e-4}
    assert overrides(RUN, {"again": replace(RUN, seed=4)}) == {"again": {}}


def test_the_plan_is_what_a_report_reads(plan: SweepPlan):
    written = plan.to_dict()
    assert written["baseline"] == "full"
    assert [run["seed"] for run in written["variants"]["wide"]["runs"]] == [0, 1]
    assert written["task"]["task"] == "mqar"
    assert written["report"]["formats"] == ["md", "html", "csv"]


def end(store: RunStore, job: Job, metrics: Mapping[str, float] | None) -> None:
    """The run is over, with these scores; None: it failed."""
    status = "failed" if metrics is None else "ok"
    store.run(job.fingerprint).write_spec("")
    result = Result(fingerprint=job.fingerprint, status=status, metrics=metrics or {})
    store.run(job.fingerprint).finish(result)


def test_a_plan_knows_the_place_of_every_run():
    spec = replace(SWEEP, across={"train.batch": (2, 4)})
    plan = plan_sweep(spec, "places")
    entries = plan.to_dict()["variants"]["slow"]["runs"]
    places = [
        ("train.batch=2", 0),
        ("train.batch=2", 1),
        ("train.batch=4", 0),
        ("train.batch=4", 1),
    ]
    assert [(entry["at"], entry["seed"]) for entry in entries] == places
    jobs = {(job.at, job.seed): job for job in plan.jobs if job.variant == "slow"}
    assert [entry["fingerprint"] for entry in entries] == [jobs[at].fingerprint for at in places]
    assert [jobs[at].spec.train.batch for at in places] == [2, 2, 4, 4]
    assert jobs[places[0]].label == "slow train.batch=2 #0"
    assert plan.overrides["slow"] == {"train.optim.lr": 1e-4}  # not where it is run


def test_what_is_finished_is_not_done_again(plan: SweepPlan, tmp_path: Path):
    store = RunStore(tmp_path)
    assert len(plan.todo(store)) == 6
    for job, metrics in zip(plan.jobs, ({}, None), strict=False):
        end(store, job, metrics)
    assert len(plan.todo(store)) == 4
    assert len(plan.todo(store, retry=True)) == 5
    for job in plan.jobs[:1]:  # a damaged result is none: nothing is taken for done unread
        (store.run(job.fingerprint).path / "result.json").write_text('{"status": "ok", ')
    assert len(plan.todo(store)) == 5


def test_a_worker_stays_with_the_programs_it_has_compiled(plan: SweepPlan):
    queue = Queue(Bundle(jobs=(job,)) for job in plan.jobs)
    first = queue.take("")
    assert first.label == "full #0"
    other = queue.take("", elsewhere=[first.graph])
    assert other.label == "wide #0"
    labels = [queue.take(first.graph, [other.graph]).label for _ in range(3)]
    assert labels == ["full #1", "slow #0", "slow #1"]
    assert queue.take(first.graph, [other.graph]).label == "wide #1"
    with pytest.raises(IndexError):
        queue.take("")


def test_workers_are_as_many_as_asked_and_never_more_than_runs():
    asked = replace(SWEEP, run=EngineSpec(workers=3))
    assert Local().team(asked, runs=10).workers == 3
    assert Local().team(asked, runs=2).workers == 2
    assert Local().team(asked, runs=10, workers=1).workers == 1
    team = Local().team(SWEEP, runs=100)
    assert team.workers >= 1
    assert team.threads >= 1


def test_a_worker_has_no_more_threads_than_torch_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("search.local._cores", lambda: 12)
    monkeypatch.setattr("torch.get_num_threads", lambda: 5)
    assert Local().team(SWEEP, runs=100, workers=3).threads == 4
    assert Local().team(SWEEP, runs=100, workers=2).threads == 5
    asked = replace(SWEEP, run=EngineSpec(threads=6))
    assert Local().team(asked, runs=100, workers=2).threads == 6
