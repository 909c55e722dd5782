"""A sweep from its spec to a folder of results: planned, carried out, written down."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import playground as pg
from search.bundle import Bundle, bundles
from search.job import Job
from search.plan import SweepPlan, plan_sweep, write_specs
from search.pool import Pool, Watch

Planned = Callable[[SweepPlan, Sequence[Job]], None]

MOST_WORKERS = 8  # each has its own torch and compiled programs in memory


@dataclass(frozen=True, kw_only=True)
class Team:
    """How many processes, and how many threads each."""

    workers: int
    threads: int


def team_for(spec: pg.SweepSpec, runs: int, workers: int | None = None) -> Team:
    """Processes and threads for so many runs.

    `auto` is a process per core on a CPU, up to 8: small models gain more from runs side by side
    than from threads. A GPU gets one process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = max(1, cores or 1)
    asked = workers if workers is not None else spec.run.workers
    if asked == "auto":
        on_cpu = pg.pick_device(spec.device).type == "cpu"
        asked = min(cores, MOST_WORKERS) if on_cpu else 1
    count = max(1, min(asked, runs))
    return Team(workers=count, threads=max(1, cores // count))


def run_sweep(
    plan: SweepPlan,
    *,
    store: pg.RunStore,
    folder: Path,
    workers: int | None = None,
    retry: bool = False,
    watch: Watch = lambda event: None,
    planned: Planned = lambda plan, todo: None,
) -> SweepPlan:
    """Carry out what is left of a sweep: tuning first, then what it chose.

    Args:
        plan: from `plan_sweep`; what is given back is the one with all its runs.
        store: where the runs are kept; finished ones are not repeated.
        folder: where sweep.json goes.
        workers: processes; None for what the spec says.
        retry: also the runs that failed before.
        watch: told of every run that starts, moves on and ends.
        planned: told of the plan, and of the runs to do, at the start and after each round.

    Raises:
        SpecError, LoweringError: nothing of it can run here, or tuning ended at an edge.
        KeyboardInterrupt: asked to stop; the same call goes on from the checkpoints.
    """
    _require(plan.spec)
    folder.mkdir(parents=True, exist_ok=True)
    tried: set[str] = set()  # no run is taken up twice, however it ends
    while True:
        plan = plan.again(store)
        _write_plan(plan, folder / "sweep.json")
        todo = [j for j in plan.todo(store, retry=retry) if j.fingerprint not in tried]
        planned(plan, todo)
        if not todo:
            return plan
        tried.update(job.fingerprint for job in todo)
        write_specs(todo, store)
        team, parts = teamed(plan, todo, workers)
        _pool(plan.spec, team, store, retry, watch).run(parts)


def teamed(
    plan: SweepPlan, todo: Sequence[Job], workers: int | None = None
) -> tuple[Team, list[Bundle]]:
    """Who carries the runs out, and in which bundles: an unfinished sweep bundles as a new one."""
    most = team_for(plan.spec, max(1, len(todo)), workers).workers
    wanted = {job.fingerprint for job in todo}
    found = []
    for jobs in (plan.tuning, plan.jobs):
        done = {job.fingerprint for job in jobs} - wanted
        parts = (b.without(done) for b in bundles(jobs, plan.spec.run.vectorize, most))
        found += [part for part in parts if part is not None]
    return team_for(plan.spec, max(1, len(found)), workers), found


def _require(spec: pg.SweepSpec) -> None:
    """What every run of it needs is here."""
    pg.pick_device(spec.device)
    if spec.compile:
        pg.require_compiler()


def _pool(spec: pg.SweepSpec, team: Team, store: pg.RunStore, retry: bool, watch: Watch) -> Pool:
    return Pool(
        store=store,
        workers=team.workers,
        threads=team.threads,
        retries=spec.run.retries,
        retry_failed=retry,
        watch=watch,
    )


def _write_plan(plan: SweepPlan, path: Path) -> None:
    """In one move, so that a report beside it never reads half a plan."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(plan.to_dict(), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


__all__ = ["SweepPlan", "Team", "plan_sweep", "run_sweep", "team_for"]
