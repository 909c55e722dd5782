"""Some runs of every stack, trained again alone for their first steps: do they agree?"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import playground as pg
from search.bundle import Bundle
from search.engine import Planned
from search.engines import engine_for
from search.job import Job, Jobs
from search.pool import JobEvent, Pool, Watch
from search.worker import train_runs

STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Audit:
    """How far a run of a stack is from the same run alone.

    Attributes:
        at: the place of the sweep's `across` that the run is at.
        steps: over which training losses are compared.
        difference: the largest, relative; None if the run alone failed.
    """

    variant: str
    seed: int
    fingerprint: str
    steps: int
    difference: float | None
    at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As in sweep.json."""
        return {key: value for key, value in asdict(self).items() if key != "at" or value}


def chosen(jobs: Sequence[Job], store: pg.RunStore, part: float) -> list[Job]:
    """About such a part of the runs that were trained in a stack, and at least one of them unless
    `part` is 0; always the same ones."""

    def stacked(job: Job) -> bool:
        result = None if job.stack is None else store.run(job.fingerprint).result()
        return result is not None and result.ok and result.replicas > 1

    unique = {job.fingerprint: job for job in jobs}
    drawn = {name for name in unique if int(name[:8], 16) < part * 2**32}
    found = [job for name, job in unique.items() if name in drawn and stacked(job)]
    if found or not part:
        return found
    others = (unique[name] for name in sorted(unique.keys() - drawn))
    return list(islice(filter(stacked, others), 1))


def train_alone(order: Any, shown: Callable[[Any], None]) -> tuple[str, str]:
    """A worker's job that ends after the steps that are compared."""

    far = False

    def until(event: Any) -> None:
        nonlocal far
        shown(event)
        if event.kind == "step" and event.step >= STEPS:
            far = True
            signal.raise_signal(signal.SIGTERM)  # it writes a checkpoint and ends

    kind, reason = train_runs(order, until)
    return ("done" if far and kind == "stopped" else kind), reason


def audit(
    jobs: Sequence[Job],
    spec: Planned,
    *,
    store: pg.RunStore,
    folder: Path,
    watch: Watch = lambda event: None,
) -> list[Audit]:
    """Train some runs again alone, in a stack's first form, and compare their training losses.

    Args:
        jobs: those of a sweep or search that is done.
        spec: of it; its `run.audit` says which part of the runs.
        store: with their results.
        folder: for what the runs alone leave; those that are there are not repeated.
        watch: told how the runs move on.
    """
    alone, made = pg.RunStore(folder), Jobs()
    pairs = []
    for job in chosen(jobs, store, spec.run.audit):
        name = f"audit of {job.variant}"
        form = pg.first_form(job.spec.compile, job.spec.device)  # sums in the same order
        (twin,) = made.jobs(name, [replace(job.spec, compile=form)], at=job.at)
        pairs.append((job, twin))
    open_twins = [t for _, t in pairs if alone.status(t.fingerprint) is None]
    todo = [twin for twin in open_twins if not _losses(alone, twin)]

    def told(event: JobEvent) -> None:
        if event.kind in ("started", "event", "left"):  # the sweep's own count stays as it is
            watch(event)

    if todo:
        engine = engine_for(spec.run, train_alone)
        team = engine.team(spec, len(todo))
        Pool(alone, engine, team, spec.run, watch=told).run([Bundle(jobs=(twin,)) for twin in todo])
    return [_compared(job, twin, store, alone) for job, twin in pairs]


def _losses(store: pg.RunStore, job: Job) -> dict[int, float]:
    """Training losses by step; empty if there are fewer than are compared."""
    rows = store.run(job.fingerprint).rows()
    found = {row["step"]: row["loss"] for row in rows if row.get("kind") == "train"}
    last = min(STEPS, job.spec.train.steps)
    kept = {step: loss for step, loss in found.items() if step <= last}
    reached = max(found, default=0) + job.spec.train.log_every > last
    return kept if reached else {}


def _compared(job: Job, twin: Job, store: pg.RunStore, alone: pg.RunStore) -> Audit:
    mine, other = _losses(store, job), _losses(alone, twin)
    steps = sorted(mine.keys() & other.keys())
    differences = [abs(mine[step] - other[step]) / abs(other[step]) for step in steps]
    return Audit(
        variant=job.variant,
        at=job.at,
        seed=job.seed,
        fingerprint=job.fingerprint,
        steps=steps[-1] if steps else 0,
        difference=max(differences) if differences else None,
    )
