"""Runs of stacks, trained again alone: what is chosen, what is compared, what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from playground.report import build
from playground.spec import EngineSpec
from playground.train import Result, RunStore
from search.audit import audit, chosen
from search.plan import plan_sweep
from search.sweep import run_sweep
from tests.search.test_bundle import STACKED

AUDITED = replace(
    STACKED,
    variants={"slow": STACKED.variants["slow"]},
    train=replace(STACKED.train, log_every=1),
    seeds=2,
    run=EngineSpec(workers=1, audit=0.5),
    dtype="fp64",
)


def test_a_part_of_the_stacked_runs_is_trained_again_and_reported(tmp_path: Path):
    store, folder = RunStore(tmp_path / "runs"), tmp_path / "sweeps" / "stacked"
    places = [int(job.fingerprint[:8], 16) for job in plan_sweep(AUDITED, "stacked").jobs]
    part = (sorted(places)[1] + 1) / 2**32  # whatever the fingerprints are, two of the four
    spec = replace(AUDITED, run=EngineSpec(workers=1, audit=part))
    plan = run_sweep(plan_sweep(spec, "stacked"), store=store, folder=folder)
    expected = [j for j in plan.jobs if int(j.fingerprint[:8], 16) < part * 2**32]
    assert [found.fingerprint for found in plan.audits] == [j.fingerprint for j in expected]
    assert len(expected) == 2
    for found in plan.audits:
        assert found.steps == AUDITED.train.steps
        assert found.difference is not None
        assert found.difference < 1e-9
    assert "trained again alone" in build(folder, store.root).markdown()
    assert json.loads((folder / "sweep.json").read_text())["audits"][0]["difference"] < 1e-9
    before = sorted(path.stat().st_mtime_ns for path in (folder / "audits").glob("*/*.json*"))
    assert run_sweep(plan, store=store, folder=folder).audits == plan.audits
    after = sorted(path.stat().st_mtime_ns for path in (folder / "audits").glob("*/*.json*"))
    assert before == after
    spoilt = store.run(expected[0].fingerprint)
    rows = [row | {"loss": 1.1 * row["loss"]} if "loss" in row else row for row in spoilt.rows()]
    spoilt.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = audit(plan.jobs, spec, store=store, folder=folder / "audits")[0].difference
    assert found is not None
    assert 0.09 < found < 0.11


@pytest.mark.compile
def test_runs_that_are_compiled_are_audited_in_the_form_of_their_stack(tmp_path: Path):
    spec = replace(AUDITED, compile=True, run=EngineSpec(workers=1, audit=1.0), seeds=1)
    store, folder = RunStore(tmp_path / "runs"), tmp_path / "sweeps" / "stacked"
    plan = run_sweep(plan_sweep(spec, "stacked"), store=store, folder=folder)
    assert len(plan.audits) == 2
    assert all(a.difference is not None and a.difference < 1e-9 for a in plan.audits)
    resolved = [run.path / "resolved.json" for run in RunStore(folder / "audits").runs()]
    forms = [json.loads(file.read_text())["spec"]["compile"] for file in resolved]
    assert forms == ["loops", "loops"]


def test_runs_that_were_alone_or_failed_are_not_audited(tmp_path: Path):
    store = RunStore(tmp_path / "runs")
    jobs = plan_sweep(AUDITED, "stacked").jobs
    kept = [("ok", 4), ("ok", 1), ("failed", 4)]
    for job, (status, replicas) in zip(jobs, kept, strict=False):
        folder = store.run(job.fingerprint)
        folder.path.mkdir(parents=True)
        folder.finish(
            Result(fingerprint=job.fingerprint, status=status, replicas=replicas)  # pyright: ignore
        )
    assert chosen(jobs, store, 1.0) == [jobs[0]]
    assert chosen(jobs, store, 1e-9) == [jobs[0]]  # of few runs a small part is still one
    assert chosen(jobs, store, 0.0) == []
