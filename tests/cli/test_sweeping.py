"""How a sweep looks while it goes: bars told by the events of its jobs."""

import signal
import time

import pytest

from playground.cli.sweeping import SweepDisplay, stoppable
from playground.train import Event
from search.bundle import Bundle
from search.plan import plan_sweep
from search.pool import JobEvent
from tests.search.test_plan import SWEEP


class Bars:
    """Remembers what the bars show."""

    def __init__(self) -> None:
        self.shown: dict[str, tuple[int, str]] = {}
        self.said: list[str] = []

    def begin(self, key: str, label: str, total: int) -> None:
        self.shown[key] = (0, "")

    def move(self, key: str, done: int, note: str) -> None:
        self.shown[key] = (done, note)

    def end(self, key: str) -> None:
        self.shown.pop(key, None)

    def say(self, line: str) -> None:
        self.said.append(line)


def test_a_sweep_shows_training_scoring_and_audits() -> None:
    plan = plan_sweep(SWEEP, "shown")
    bars, job = Bars(), plan.jobs[0]
    display, bundle = SweepDisplay(bars), Bundle(jobs=(job,))
    key, steps = job.fingerprint, job.spec.train.steps
    display.planned(plan, [job])

    def tell(kind: str, event: Event | None = None) -> None:
        display(JobEvent(kind=kind, bundle=bundle, job=job, event=event))  # pyright: ignore

    tell("started")
    step = Event(kind="step", fingerprint=key, step=1, steps=steps, loss=2.5, tokens_per_s=1e3)
    tell("event", step)
    assert bars.shown[key][0] == 1 and "loss 2.5000  1,000 tok/s" in bars.shown[key][1]
    tell("event", Event(kind="test", fingerprint=key, step=3, steps=9))
    assert bars.shown[key] == (steps, "on test: 3 of 9 batches")
    tell("left")
    tell("done")
    assert key not in bars.shown
    assert bars.shown["sweep"] == (1, "left 0:00")
    tell("started")
    assert bars.shown["sweep"] == (1, "audits: stacked runs again, alone")


def test_the_time_left_goes_by_what_this_attempt_did() -> None:
    plan = plan_sweep(SWEEP, "resumed")
    bars, job = Bars(), plan.jobs[0]
    display, bundle = SweepDisplay(bars), Bundle(jobs=(job,))
    display.planned(plan, [job])
    display.began = time.monotonic() - 100
    for kind, step in (("start", 50), ("step", 75)):
        event = Event(kind=kind, fingerprint=job.fingerprint, step=step, steps=100)  # pyright: ignore
        display(JobEvent(kind="event", bundle=bundle, job=job, event=event))
    assert bars.shown["sweep"] == (0, "left 1:40")  # not 0:33: 50 steps were there before


def test_sigterm_says_what_ctrl_c_says() -> None:
    bars, before = Bars(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable(bars):
        signal.raise_signal(signal.SIGTERM)
    assert bars.said == ["stopped; the same command goes on from the checkpoints"]
    assert signal.getsignal(signal.SIGTERM) == before
