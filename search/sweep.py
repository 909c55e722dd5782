"""A sweep from its spec to a folder of results: planned, carried out, written down."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import playground as pg
from search.plan import SweepPlan, plan_sweep, write_specs
from search.pool import Pool, Watch

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
) -> None:
    """Carry out what is left of a sweep.

    Args:
        plan: from `plan_sweep`.
        store: where the runs are kept; finished ones are not repeated.
        folder: where sweep.json goes.
        workers: processes; None for what the spec says.
        retry: also the runs that failed before.
        watch: told of every run that starts, moves on and ends.

    Raises:
        SpecError, LoweringError: nothing of it can run here.
        KeyboardInterrupt: asked to stop; the same call goes on from the checkpoints.
    """
    pg.pick_device(plan.spec.device)
    if plan.spec.compile:
        pg.require_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    _write_plan(plan, folder / "sweep.json")
    if not (todo := plan.todo(store, retry=retry)):
        return
    write_specs(plan, store)
    team = team_for(plan.spec, len(todo), workers)
    Pool(
        store=store,
        workers=team.workers,
        threads=team.threads,
        retries=plan.spec.run.retries,
        retry_failed=retry,
        watch=watch,
    ).run(todo)


def _write_plan(plan: SweepPlan, path: Path) -> None:
    """In one move, so that a report beside it never reads half a plan."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(plan.to_dict(), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


__all__ = ["SweepPlan", "Team", "plan_sweep", "run_sweep", "team_for"]
