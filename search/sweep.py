"""A sweep from its spec to a folder of results: planned, carried out, written down."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import playground as pg
from search.audit import audit
from search.bundle import Bundle, unfinished
from search.engine import Engine, Team
from search.engines import engine_for
from search.job import Job
from search.plan import SweepPlan, plan_sweep
from search.pool import Pool, Watch

Planned = Callable[[SweepPlan, Sequence[Job]], None]


def run_sweep(
    plan: SweepPlan,
    *,
    store: pg.RunStore,
    folder: Path,
    workers: int | None = None,
    retry: bool = False,
    engine: Engine[Any] | None = None,
    watch: Watch = lambda event: None,
    planned: Planned = lambda plan, todo: None,
) -> SweepPlan:
    """Carry out what is left of a sweep: all tuning first, then what it chose.

    Args:
        plan: from `plan_sweep`; what is given back is the one with all its runs.
        store: where the runs are kept; finished ones are not repeated.
        folder: where sweep.json goes.
        workers: processes; None for what the spec says.
        retry: also the runs that failed before.
        engine: what carries the runs out; None for what the spec says.
        watch: told of every run that starts, moves on and ends.
        planned: told of the plan, and of the runs to do, at the start and after each round.

    Raises:
        SpecError, LoweringError: nothing can run here, or tuning ended at an edge.
        KeyboardInterrupt: asked to stop; the same call goes on from the checkpoints.
    """
    engine = engine or engine_for(plan.spec.run)
    engine.check(plan.spec)
    tried: set[str] = set()  # no run is taken up twice, however it ends
    while True:
        plan = plan.again(store)
        _write_plan(plan, folder / "sweep.json")
        todo = [j for j in plan.todo(store, retry=retry) if j.fingerprint not in tried]
        planned(plan, todo)
        if not todo:
            return _audited(plan, store, folder, watch)
        team, parts = teamed(plan, _first(plan, todo), workers, engine)
        tried.update(job.fingerprint for part in parts for job in part.jobs)
        Pool(store, engine, team, plan.spec.run, retry=retry, watch=watch).run(parts)


def teamed(
    plan: SweepPlan,
    todo: Sequence[Job],
    workers: int | None = None,
    engine: Engine[Any] | None = None,
) -> tuple[Team, list[Bundle]]:
    """Who carries the runs out, and in which bundles: an unfinished sweep bundles as a new one."""
    engine = engine or engine_for(plan.spec.run)
    if not todo:
        return engine.team(plan.spec, 1, workers), []
    found = []
    for jobs in plan.rounds:
        most = engine.team(plan.spec, max(1, len(jobs)), workers).workers
        found += unfinished(jobs, todo, plan.spec.run.vectorize, most)
    return engine.team(plan.spec, max(1, len(found)), workers), found


def _first(plan: SweepPlan, todo: Sequence[Job]) -> list[Job]:
    """Those of `todo` that are in the first round which has any.

    A round ends before the next begins, so every stack holds the same runs, however often the sweep
    was stopped: in another stack the last bit of a run may be another.
    """
    left = {job.fingerprint for job in todo}
    rounds = ([job for job in jobs if job.fingerprint in left] for jobs in plan.rounds)
    return next(jobs for jobs in rounds if jobs)


def _audited(plan: SweepPlan, store: pg.RunStore, folder: Path, watch: Watch) -> SweepPlan:
    """The plan of a sweep that is done, with what its audits found."""
    jobs = [*plan.tuning, *plan.jobs]
    found = audit(jobs, plan.spec, store=store, folder=folder / "audits", watch=watch)
    plan = replace(plan, audits=tuple(found))
    _write_plan(plan, folder / "sweep.json")
    return plan


def _write_plan(plan: SweepPlan, path: Path) -> None:
    """In one move, so that a report beside it never reads half a plan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(plan.to_dict(), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


__all__ = ["SweepPlan", "Team", "plan_sweep", "run_sweep"]
