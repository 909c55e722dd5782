"""How a sweep looks while it goes, what is left of it, and the list of kept runs."""

import json
import time
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from playground.cli.options import runs_folder, sweeps_folder
from playground.cli.progress import Bar, bars, step_note
from playground.cli.show import duration, text

if TYPE_CHECKING:
    from search.plan import SweepPlan
    from search.pool import JobEvent


def carry_out(
    plan: "SweepPlan", out: Path, *, workers: int | None = None, retry: bool = False
) -> None:
    """Train what is left, with bars on stderr.

    Raises:
        KeyboardInterrupt: Ctrl-C; every run in progress has a checkpoint.
    """
    from playground.train import RunStore
    from search.sweep import run_sweep

    store = RunStore(runs_folder(out))
    todo = len(plan.todo(store, retry=retry))
    with bars() as bar:
        display = SweepDisplay(bar, plan, todo)
        try:
            run_sweep(
                plan,
                store=store,
                folder=sweeps_folder(out) / plan.name,
                workers=workers,
                retry=retry,
                watch=display,
            )
        except KeyboardInterrupt:
            bar.say("stopped; the same command goes on from the checkpoints")
            raise


class SweepDisplay:
    """A bar over all runs, with the time left, and one for each run in progress."""

    def __init__(self, bar: Bar, plan: "SweepPlan", todo: int) -> None:
        self.bar, self.todo, self.over = bar, todo, 0
        self.began = time.monotonic()
        self.parts: dict[str, float] = {}  # fraction done of each run in progress
        bar.say(f"sweep {plan.name}: {len(plan.jobs)} runs, {todo} to do")
        for name in ("corpus", "sha256", "tokens"):
            if name in plan.task:
                bar.say(f"  {name}: {text(plan.task[name])}")
        bar.begin("sweep", "runs", todo)

    def __call__(self, happened: "JobEvent") -> None:
        """Take in one event."""
        job, event = happened.job, happened.event
        key = job.fingerprint
        if happened.kind == "started":
            self.parts[key] = 0.0
            self.bar.begin(key, job.label, job.spec.train.steps)
        elif event is not None and event.kind == "step":
            self.parts[key] = event.step / max(1, event.steps)
            self.bar.move(key, event.step, step_note(event))
        elif happened.kind == "retried":
            self.bar.say(f"{job.label}: {happened.text}; tried again")
        elif happened.kind in ("done", "failed"):
            self.parts.pop(key, None)
            self.over += 1
            self.bar.end(key)
            outcome = happened.text and f"failed: {happened.text}"
            self.bar.say(f"[{self.over}/{self.todo}] {job.label}  {outcome or 'done'}")
        self.bar.move("sweep", self.over, f"left {duration(self._left_s())}")

    def _left_s(self) -> float | None:
        done = self.over + sum(self.parts.values())
        if done < 0.05:  # compiling: no pace to speak of yet
            return None
        return (time.monotonic() - self.began) * (self.todo - done) / done


def estimate(plan: "SweepPlan", runs: Path, workers: int | None) -> dict[str, Any]:
    """Runs, tokens and, where runs of the same variants are done, seconds."""
    from playground.train import RunStore
    from search.sweep import team_for

    store = RunStore(runs)
    todo = plan.todo(store)
    team = team_for(plan.spec, max(1, len(todo)), workers)
    speeds = [
        result.metrics["tokens_per_s"]
        for job in plan.jobs
        if (result := store.run(job.fingerprint).result()) and "tokens_per_s" in result.metrics
    ]
    tokens = sum(_tokens(job.spec) for job in todo)
    return {
        "runs": len(plan.jobs),
        "done": len({job.fingerprint for job in plan.jobs}) - len(todo),
        "tokens": tokens,
        "workers": team.workers,
        "threads": team.threads,
        "seconds": tokens / mean(speeds) / team.workers if speeds else None,
    }


def _tokens(spec: Any) -> int:
    train = spec.train
    return train.steps * train.batch * train.accumulate * getattr(spec.task, "length", 0)


def run_rows(runs: Path) -> list[dict[str, Any]]:
    """One row per kept run."""
    from playground.train import RunStore

    rows = []
    for run in RunStore(runs).runs():
        spec = json.loads((run.path / "resolved.json").read_text(encoding="utf-8"))["spec"]
        result = run.result()
        trained = [row for row in run.rows() if row.get("kind") == "train"]
        last = trained[-1] if trained else {}
        loss = result.metrics.get("test/loss") if result and result.ok else last.get("loss")
        block = spec["model"].get("block")
        rows.append(
            {
                "run": run.fingerprint[:12],
                "status": result.status if result else "open",
                "model": block["kind"] if block else "layers",
                "task": spec["task"]["kind"],
                "seed": spec["seed"],
                "step": f"{last.get('step', 0)}/{spec['train']['steps']}",
                "loss": loss,
            }
        )
    return rows
