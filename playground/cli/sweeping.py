"""How a sweep looks while it goes, what is left of it, and the list of kept runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from playground.cli.options import runs_folder, sweeps_folder
from playground.cli.progress import Bar, bars, step_note
from playground.cli.show import duration, text

if TYPE_CHECKING:
    from search.job import Job
    from search.plan import SweepPlan
    from search.pool import JobEvent

TIMED = 200  # finished runs that an estimate goes by


def carry_out(
    plan: "SweepPlan", out: Path, *, workers: int | None = None, retry: bool = False
) -> None:
    """Train what is left, with bars on stderr.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; every run in progress has a checkpoint.
    """
    from playground.train import RunStore
    from search.sweep import run_sweep

    with bars() as bar, stoppable(bar):
        display = SweepDisplay(bar)
        run_sweep(
            plan,
            store=RunStore(runs_folder(out)),
            folder=sweeps_folder(out) / plan.name,
            workers=workers,
            retry=retry,
            watch=display,
            planned=display.planned,
        )


@contextmanager
def stoppable(bar: Bar) -> Iterator[None]:
    """Work of many runs: whoever stops it, by Ctrl-C or SIGTERM, is told that it can go on."""
    from playground.train import sigterm_as_ctrl_c

    with sigterm_as_ctrl_c():
        try:
            yield
        except KeyboardInterrupt:
            bar.say("stopped; the same command goes on from the checkpoints")
            raise


def plan_lines(plan: "SweepPlan", todo: int) -> list[str]:
    """What there is to do, of what data, and what tuning has chosen."""
    tuning = f", {len(plan.tuning)} more to tune by" if plan.tuned else ""
    lines = [f"sweep {plan.name}: {len(plan.runs)} runs{tuning}, {todo + plan.waiting} to do"]
    named = (name for name in ("corpus", "sha256", "tokens") if name in plan.task)
    lines += [f"  {name}: {text(plan.task[name])}" for name in named]
    for name, found in plan.tuned.items():
        if found.chosen is not None:
            values = ", ".join(f"{key} {text(value)}" for key, value in found.chosen.items())
            edge = " (at the edge of its grid)" if found.edges else ""
            lines.append(f"tuned {name}: {values or 'every value failed: as written'}{edge}")
    return lines


class SweepDisplay:
    """A bar over all runs, with the time left, and one for each run in progress."""

    def __init__(self, bar: Bar) -> None:
        self.bar, self.todo, self.over = bar, 0, 0
        self.began = time.monotonic()
        self.parts: dict[str, float] = {}  # fraction done of each run in progress
        self.ahead: dict[str, float] = {}  # what earlier attempts had done of each run
        self.told: set[str] = set()  # what was said of the sweep

    def planned(self, plan: "SweepPlan", todo: Sequence["Job"]) -> None:
        """Take in a plan, the first or a later round of the same sweep."""
        self.todo = self.over + len(todo) + plan.waiting
        for line in plan_lines(plan, len(todo)):
            if line not in self.told:
                self.told.add(line)
                self.bar.say(line)
        self.bar.begin("sweep", "runs", self.todo)

    def __call__(self, happened: "JobEvent") -> None:
        """Take in one event."""
        bundle, event = happened.bundle, happened.event
        key, size = bundle.jobs[0].fingerprint, len(bundle.jobs)
        if happened.kind == "started":
            self.parts[key] = 0.0
            self.bar.begin(key, bundle.label, happened.job.spec.train.steps)
        elif event is not None and event.kind == "start":
            self.parts[key] = size * event.step / max(1, event.steps)
            self.ahead.setdefault(event.fingerprint, event.step / max(1, event.steps))
        elif event is not None and event.kind == "step":
            self.parts[key] = size * event.step / max(1, event.steps)
            self.bar.move(key, event.step, step_note(event, size))
        elif event is not None and event.kind == "test":
            scored = f"on test: {event.step} of {event.steps} batches"
            self.bar.move(key, happened.job.spec.train.steps, scored)
        elif happened.kind == "retried":
            self.bar.say(f"{bundle.label}: {happened.text}")
        elif happened.kind == "left":
            self.parts.pop(key, None)
            self.bar.end(key)
        elif happened.kind in ("done", "failed"):
            self.over += 1
            outcome = happened.text and f"failed: {happened.text}"
            self.bar.say(f"[{self.over}/{self.todo}] {happened.job.label}  {outcome or 'done'}")
        audits = self.over >= self.todo and bool(self.parts)
        note = "audits: stacked runs again, alone" if audits else f"left {duration(self._left_s())}"
        self.bar.move("sweep", self.over, note)

    def _left_s(self) -> float | None:
        there = self.over + sum(self.parts.values())
        done = there - sum(self.ahead.values())
        if done < 0.05:  # compiling: no pace to speak of yet
            return None
        return max(0.0, (time.monotonic() - self.began) * (self.todo - there) / done)


def estimate(plan: "SweepPlan", runs: Path, workers: int | None) -> dict[str, Any]:
    """Runs, tokens and, where runs of the same variants are done, seconds."""
    from playground.train import RunStore
    from search.sweep import teamed

    store = RunStore(runs)
    todo, known = plan.todo(store), [*plan.tuning, *plan.jobs]
    left = {job.fingerprint for job in todo}
    timed = [job for job in known if job.fingerprint not in left][:TIMED]
    team, parts = teamed(plan, todo, workers)
    results = [store.run(job.fingerprint).result() for job in timed]
    paces = [  # seconds of a token; runs of a stack share theirs
        result.wall_s / result.replicas / result.tokens
        for result in results
        if result is not None and result.ok and result.tokens
    ]
    waiting = sum(run.spec.training_tokens for run in plan.unknown)
    tokens = sum(job.spec.training_tokens for job in todo) + waiting
    return {
        "runs": len(plan.runs),
        "tuning": len(plan.tuning),
        "done": len({job.fingerprint for job in known}) - len(todo),
        "tokens": tokens,
        "programs": len(parts),
        "workers": team.workers,
        "threads": team.threads,
        "seconds": tokens * mean(paces) / team.workers if paces else None,
    }
