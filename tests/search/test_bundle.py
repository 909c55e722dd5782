"""Which runs are trained together, and sweeps whose runs are."""

from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pytest

from playground.report import build
from playground.spec import BaseSpec, EngineSpec, SweepSpec, TuneSpec, VariantSpec
from playground.train import RunStore
from search.bundle import Bundle, bundles
from search.job import Job
from search.plan import plan_sweep
from search.sweep import run_sweep, teamed
from tests.search.test_plan import SWEEP, end
from tests.search.test_pool import kinds
from tests.train.test_replicas import TITANS

STACKED = replace(
    SWEEP,
    base=BaseSpec.of(TITANS),
    variants={
        "slow": VariantSpec(overrides={"train.optim.lr": 1e-4}),
        "deep": VariantSpec(overrides={"depth": 3}),
    },
    seeds=3,
)


def sizes(found: list[Bundle]) -> list[int]:
    return [len(bundle.jobs) for bundle in found]


def jobs_of(spec: SweepSpec) -> tuple[Job, ...]:
    return plan_sweep(spec, "stacked").jobs


def test_runs_of_one_shape_are_put_together_as_far_as_asked():
    jobs = jobs_of(STACKED)
    assert sizes(bundles(jobs, "auto", workers=1)) == [6, 3]
    assert sizes(bundles(jobs, 4, workers=1)) == [3, 3, 3]
    assert sizes(bundles(jobs, 2, workers=1)) == [2, 2, 2, 1, 2]
    assert sizes(bundles(jobs, False, workers=1)) == sizes(bundles(jobs, 1, workers=1)) == [1] * 9
    assert bundles(jobs, "auto", workers=1)[0].label == "full, slow, 6 runs"


def test_there_is_work_for_every_worker_where_runs_can_be_parted():
    jobs = jobs_of(STACKED)
    assert sizes(bundles(jobs, "auto", workers=3)) == [3, 3, 3]
    assert sizes(bundles(jobs, "auto", workers=20)) == [1] * 9
    assert sizes(bundles(jobs, "auto", workers=2)) == [6, 3]
    every = [job.fingerprint for b in bundles(jobs, "auto", workers=4) for job in b.jobs]
    assert sorted(every) == sorted(job.fingerprint for job in jobs)


def test_a_number_makes_the_same_stacks_for_any_number_of_workers():
    jobs = jobs_of(STACKED)
    one, *others = (bundles(jobs, 2, workers=workers) for workers in (1, 2, 3, 20))
    assert sizes(one) == [2, 2, 2, 1, 2] and others == [one] * 3
    by_variant = bundles(jobs, 3, workers=2)
    assert [{job.variant for job in part.jobs} for part in by_variant] == [
        {"full"},
        {"slow"},
        {"deep"},
    ]


def test_runs_with_equal_numbers_are_side_by_side():
    mixed = sorted(jobs_of(STACKED), key=lambda job: job.seed)  # variant after variant, in turns
    (first, *_) = bundles(mixed, "auto", workers=1)
    rates = [job.spec.train.optim.lr for job in first.jobs]
    assert len(set(rates)) > 1
    assert len(list(groupby(rates))) == len(set(rates))


def test_runs_with_dropout_and_large_ones_stay_alone():
    assert sizes(bundles(jobs_of(SWEEP), "auto", workers=1)) == [1] * 6
    large = replace(STACKED, train=replace(STACKED.train, batch=1 << 19))
    assert sizes(bundles(jobs_of(large), "auto", workers=1)) == [1] * 9
    assert sizes(bundles(jobs_of(large), 8, workers=1)) == [6, 3]


def test_an_unfinished_sweep_is_bundled_as_a_new_one():
    plan = plan_sweep(STACKED, "stacked")
    whole = teamed(plan, plan.jobs, 2)[1]
    left = teamed(plan, plan.jobs[1:], 2)[1]
    assert [b.jobs for b in left[1:]] == [b.jobs for b in whole[1:]]
    assert left[0].jobs == whole[0].jobs[1:]


@dataclass
class Instant:
    """A pool whose runs are over at once."""

    store: RunStore
    taken: list[list[Bundle]] = field(default_factory=list)

    def run(self, parts: list[Bundle]) -> None:
        self.taken.append(parts)
        for job in (job for part in parts for job in part.jobs):
            end(self.store, job, {"val/loss": 1.0})


def test_a_sweep_that_is_stopped_while_it_tunes_is_bundled_as_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tune = TuneSpec(grid={"train.optim.lr": (1e-3, 3e-3)}, seeds=1)
    narrow = {"narrow": VariantSpec(overrides={"train.optim.weight_decay": 0.2})}
    spec = replace(STACKED, variants=narrow, tune=tune, run=EngineSpec(audit=0.0))
    tuning = plan_sweep(spec, "stacked").tuning
    found = []
    for name, ended in (("whole", []), ("stopped", tuning[:2])):  # one of two variants is tuned
        store = RunStore(tmp_path / name)
        for job in ended:
            end(store, job, {"val/loss": 1.0})
        pool = Instant(store)
        monkeypatch.setattr("search.sweep.Pool", lambda *_, pool=pool, **__: pool)
        plan = plan_sweep(spec, "stacked", store)
        run_sweep(plan, store=store, folder=tmp_path / f"{name}-sweep", workers=2)
        found.append(pool.taken)
    whole, stopped = found
    done = {job.fingerprint for job in tuning[:2]}
    assert [sizes(each) for each in whole] == [[2, 2], [1, 1], [3, 3]]  # the grids grew once
    assert stopped[0] == [b for b in (b.without(done) for b in whole[0]) if b is not None]
    assert stopped[1:] == whole[1:]


def test_a_sweep_of_stacks_ends_as_one_of_single_runs(tmp_path: Path):
    bad = VariantSpec(overrides={"train.optim.lr": 1e30, "train.optim.clip": 0.0})
    spec = replace(STACKED, variants={"bad": bad}, dtype="fp64", seeds=2)
    losses = []
    for vectorize, programs in (("auto", 1), (False, 4)):
        engine = EngineSpec(vectorize=vectorize, audit=0.0)  # pyright: ignore[reportArgumentType]
        store, events = RunStore(tmp_path / str(vectorize)), []
        plan = plan_sweep(replace(spec, run=engine), "stacked", store)
        folder = tmp_path / f"report-{vectorize}"
        run_sweep(plan, store=store, folder=folder, workers=1, watch=events.append)
        assert sorted(kinds(events, "done", "failed")) == ["done"] * 2 + ["failed"] * 2
        assert len(kinds(events, "started")) == programs
        found = build(folder, store.root)
        assert len(found.problems()) == 2
        losses.append([run.value("test/loss") for run in found.sweep.runs() if run.status == "ok"])
        results = [store.run(job.fingerprint).result() for job in plan.jobs]
        assert {r.replicas for r in results if r is not None} == {4 // programs}
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


RULE = """
from memory_rules.linear_attention import LinearAttention

class Counting(LinearAttention):
    kind = "counting"

    def step(self, state, x):
        if float(x.k.sum()) > 1e9:  # a look at numbers, which vmap does not allow
            raise ValueError
        return super().step(state, x)
"""


def test_runs_that_cannot_be_stacked_are_tried_one_by_one(tmp_path: Path):
    (tmp_path / "rule.py").write_text(RULE)
    changes = {"block.memory.kind": f"{tmp_path / 'rule.py'}:Counting"}
    base = BaseSpec(extends=STACKED.base.extends, overrides=changes)
    slow = {"slow": STACKED.variants["slow"]}
    spec = replace(STACKED, base=base, variants=slow, seeds=1, lowering="recurrent")
    store, events = RunStore(tmp_path / "runs"), []
    plan = plan_sweep(spec, "counting", store)
    run_sweep(plan, store=store, folder=tmp_path / "s", workers=1, watch=events.append)
    assert kinds(events, "retried", "done", "failed") == ["retried", "done", "done"]
    (told,) = [event.text for event in events if event.kind == "retried"]
    assert "one by one" in told
