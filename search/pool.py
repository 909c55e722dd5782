"""Runs handed to workers until all are over; where one dies, another takes its place."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import playground as pg
from search.bundle import Bundle
from search.engine import Engine, Order, Team, Worker
from search.job import Job
from search.queue import Queue

log = logging.getLogger(__name__)

BUSY_WAIT_S = 2.0  # between looks at a run that another process is training
WHOLE_LOOKS = 10  # at a stack with such a run, before it is parted: a worker may outlive its driver
LISTEN_S = 5.0  # between looks at workers that say nothing
STILLBORN = 10  # workers in a row that died before they said anything: no run is to blame for that


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """One moment of a sweep.

    Attributes:
        kind: "started", "event" (it moved on), "retried" (its worker died, or it was too large:
            `text` says) and "left" (a worker is done with it) concern a whole bundle; "done" and
            "failed" (with the reason in `text`) one run.
        bundle: what the worker was given.
        job: the run that is over, else the first of the bundle.
    """

    kind: Literal["started", "event", "retried", "left", "done", "failed"]
    bundle: Bundle
    job: Job
    event: pg.Event | None = None
    text: str = ""


Watch = Callable[[JobEvent], None]


@dataclass(kw_only=True)
class _Seat:
    """A worker's place in the team, and what it is busy with."""

    worker: Worker
    bundle: Bundle | None = None
    graph: str = ""
    heard_s: float = 0.0  # when it last said something
    silent: bool = False  # it was killed for its silence
    spoke: bool = False  # since it was hired: it did come to life
    step: int = 0  # the last it told of


@dataclass
class Pool:
    """Carries out runs.

    A run that another driver is training is waited for, not repeated.

    Attributes:
        rules: its retries and its silence are what holds here.
        retry: also take up runs that failed before.
    """

    store: pg.RunStore
    engine: Engine[Any]
    team: Team
    rules: pg.EngineSpec
    retry: bool = False
    watch: Watch = field(default=lambda event: None)

    def run(self, bundles: Sequence[Bundle]) -> None:
        """Carry out all runs; their results are in the store afterwards.

        Raises:
            KeyboardInterrupt: asked to stop; every run in progress has a checkpoint.
            PlaygroundError: no worker comes to life.
        """
        self._queue = Queue(bundles)
        self._attempts: Counter[str] = Counter()  # by the first run of a bundle
        self._looks: Counter[str] = Counter()  # of those that were busy, likewise
        self._reached: dict[str, int] = {}  # the furthest step at which its worker died
        self._later: list[tuple[float, Bundle]] = []
        self._seats: list[_Seat] = []
        self._stillborn = 0
        try:
            for _ in range(min(self.team.workers, len(bundles))):
                self._seats.append(_Seat(worker=self.engine.hire(self.team.threads)))
            while self._assign():
                self._listen()
        except KeyboardInterrupt:
            for seat in self._seats:
                seat.worker.stop()
            raise
        finally:
            self.engine.dismiss([seat.worker for seat in self._seats])

    def _assign(self) -> bool:
        """Hand waiting runs to free workers; whether anything is left to wait for."""
        now = time.monotonic()
        for at, bundle in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, bundle))
            self._queue.add(bundle)
        for seat in self._seats:
            if seat.bundle is None and len(self._queue):
                elsewhere = [other.graph for other in self._seats if other.bundle is not None]
                self._hand(seat, self._queue.take(seat.graph, elsewhere))
        return any(seat.bundle for seat in self._seats) or bool(self._later)

    def _hand(self, seat: _Seat, bundle: Bundle) -> None:
        seat.bundle, seat.graph, seat.step = bundle, bundle.graph, 0
        seat.heard_s = time.monotonic()
        order = Order(
            specs=tuple(pg.to_dict(job.spec) for job in bundle.jobs),
            store=str(self.store.root.resolve()),
            graph=bundle.graph,
            retry=self.retry,
        )
        self._tell("started", bundle)
        seat.worker.give(order)

    def _tell(self, kind: Any, bundle: Bundle, job: Job | None = None, **more: Any) -> None:
        self.watch(JobEvent(kind=kind, bundle=bundle, job=job or bundle.jobs[0], **more))

    def _listen(self) -> None:
        """Take in what workers say, and notice those that died or fell silent."""
        seats = {id(seat.worker): seat for seat in self._seats}
        timeout_s = BUSY_WAIT_S if self._later else LISTEN_S
        for worker, (kind, content) in self.engine.listen(
            [seat.worker for seat in self._seats], timeout_s
        ):
            seat = seats[id(worker)]
            seat.heard_s = time.monotonic()
            if kind == "died":
                self._replace(seat, content)
                continue
            self._stillborn, seat.spoke = 0, True
            if seat.bundle is not None:
                self._hear(seat, seat.bundle, kind, content)
        for seat in self._seats:
            quiet_s = time.monotonic() - seat.heard_s
            if self.rules.silence_s and seat.bundle is not None and quiet_s > self.rules.silence_s:
                seat.silent = True
                seat.worker.kill()

    def _hear(self, seat: _Seat, bundle: Bundle, kind: str, content: Any) -> None:
        if kind == "event":
            seat.step = max(seat.step, content.step if content.kind == "step" else 0)
            self._tell("event", bundle, event=content)
            return
        seat.bundle = None
        self._tell("left", bundle)
        self._ended(bundle, kind, content)

    def _ended(self, bundle: Bundle, kind: str, content: str) -> None:
        """What becomes of runs that a worker is done with."""
        first = bundle.jobs[0].fingerprint
        self._looks[first] += kind == "busy"
        # Elsewhere its last bits would be others, and so a stack waits as a whole at first.
        held_up = kind == "busy" and self._looks[first] > WHOLE_LOOKS
        if (held_up or kind == "memory") and len(bundle.jobs) > 1:
            for half in bundle.halves():
                self._queue.add(half)
            if kind == "memory":
                self._tell("retried", bundle, text=f"{content}; tried again as two halves")
        elif kind == "error" and len(bundle.jobs) > 1:  # such as a rule that vmap cannot trace
            for job in bundle.jobs:
                self._queue.add(Bundle(jobs=(job,)))
            self._tell("retried", bundle, text=f"{content}; tried again one by one")
        elif kind == "disk":  # later runs would end so as well
            raise pg.PlaygroundError(
                f"{self.store.root}: cannot be written to ({content}). Make room: nothing is lost, "
                "and the same command goes on."
            )
        elif kind in ("busy", "stopped"):
            self._later.append((time.monotonic() + BUSY_WAIT_S, bundle))
        elif kind in ("memory", "error"):
            self._fail(bundle, content)
        else:
            for job in bundle.jobs:
                self._over(bundle, job)

    def _over(self, bundle: Bundle, job: Job) -> None:
        result = self.store.run(job.fingerprint).result()
        failed = result is not None and not result.ok
        text = (result.reason or "") if result is not None and failed else ""
        self._tell("failed" if failed else "done", bundle, job, text=text)

    def _fail(self, bundle: Bundle, reason: str) -> None:
        """Runs that could not be carried out; those that have a result keep it."""
        for job in bundle.jobs:
            if self.store.run(job.fingerprint).result() is None:
                pg.record_failure(job.spec, self.store.root, reason)
            self._over(bundle, job)

    def _replace(self, seat: _Seat, how: str) -> None:
        """A worker died: another takes its place, and its runs are tried again or given up."""
        bundle, silent, step, spoke = seat.bundle, seat.silent, seat.step, seat.spoke
        self._stillborn += 1
        if self._stillborn >= STILLBORN:
            raise pg.PlaygroundError(
                f"{STILLBORN} workers in a row died before they said anything ({how}). "
                "Nothing is lost: when they can start again, so can the same command."
            )
        self.engine.dismiss([seat.worker])
        seat.worker, seat.bundle, seat.silent = self.engine.hire(self.team.threads), None, False
        seat.step, seat.spoke = 0, False
        if bundle is None:
            return
        first = bundle.jobs[0].fingerprint
        if step > self._reached.get(first, 0):  # it got further than ever: begin counting again
            self._reached[first], self._attempts[first] = step, 0
        self._attempts[first] += 1
        reason = f"its worker died ({how})"
        if silent:
            reason = f"timeout: its worker said nothing for {self.rules.silence_s:.0f} s"
        log.warning("%s: %s", bundle.label, reason)
        self._tell("left", bundle)
        spent, parted = self._attempts[first] > self.rules.retries, spoke and not silent
        if spent and parted and len(bundle.jobs) > 1:
            for half in bundle.halves():  # too much memory for all, or one that kills the others
                self._queue.add(half)
                self._attempts[half.jobs[0].fingerprint] = self.rules.retries  # one try each
            self._tell("retried", bundle, text=f"{reason}; tried again as two halves")
        elif spent:
            self._fail(bundle, f"{reason}, {self._attempts[first]} times")
        else:
            self._queue.add(bundle)
            self._tell("retried", bundle, text=f"{reason}; tried again")
