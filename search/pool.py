"""Worker processes that carry out runs; one that dies is replaced and its runs tried again."""

import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import playground as pg
from search.bundle import Bundle
from search.job import Job
from search.queue import Queue
from search.worker import work

log = logging.getLogger(__name__)

BUSY_WAIT_S = 2.0  # between looks at a run that another process is training
STOP_WAIT_S = 60.0  # for workers to end their step and write a checkpoint


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
class _Worker:
    process: BaseProcess
    pipe: Connection
    bundle: Bundle | None = None
    graph: str = ""


@dataclass(kw_only=True)
class Pool:
    """Carries out runs in `workers` processes of `threads` threads each.

    A run that another driver is training is waited for, not repeated.
    """

    store: pg.RunStore
    workers: int
    threads: int
    retries: int
    retry_failed: bool = False
    watch: Watch = field(default=lambda event: None)

    def run(self, bundles: Sequence[Bundle]) -> None:
        """Carry out all runs; their results are in the store afterwards.

        Raises:
            KeyboardInterrupt: asked to stop; every run in progress has a checkpoint.
        """
        self._queue = Queue(bundles)
        self._attempts: Counter[str] = Counter()  # by the first run of a bundle
        self._later: list[tuple[float, Bundle]] = []
        self._team = [self._hire() for _ in range(min(self.workers, len(bundles)))]
        try:
            while self._assign():
                self._listen()
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self._dismiss()

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self.threads))
        process.start()
        theirs.close()
        return _Worker(process=process, pipe=ours)

    def _assign(self) -> bool:
        """Hand waiting runs to free workers; whether anything is left to wait for."""
        now = time.monotonic()
        for at, bundle in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, bundle))
            self._queue.add(bundle)
        for worker in self._team:
            if worker.bundle is None and len(self._queue):
                elsewhere = [w.graph for w in self._team if w.bundle is not None]
                self._hand(worker, self._queue.take(worker.graph, elsewhere))
        return any(worker.bundle for worker in self._team) or bool(self._later)

    def _hand(self, worker: _Worker, bundle: Bundle) -> None:
        worker.bundle, worker.graph = bundle, bundle.graph
        files = [str(self.store.run(job.fingerprint).spec_path) for job in bundle.jobs]
        try:
            worker.pipe.send((files, str(self.store.root), bundle.graph, self.retry_failed))
        except OSError:
            return  # it died while idle: its sentinel tells, and the runs are tried again
        self._tell("started", bundle)

    def _tell(self, kind: Any, bundle: Bundle, job: Job | None = None, **more: Any) -> None:
        self.watch(JobEvent(kind=kind, bundle=bundle, job=job or bundle.jobs[0], **more))

    def _listen(self) -> None:
        """Take in what workers say, and notice those that died."""
        sources: dict[Any, _Worker] = {}
        for worker in self._team:
            sources[worker.pipe] = worker
            sources[worker.process.sentinel] = worker
        ready = wait(list(sources), timeout=BUSY_WAIT_S if self._later else None)
        for worker in {id(sources[r]): sources[r] for r in ready}.values():
            if not self._hear(worker) and not worker.process.is_alive():
                self._replace(worker)

    def _hear(self, worker: _Worker) -> bool:
        """Whether the worker said something."""
        try:
            if not worker.pipe.poll():
                return False
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(1.0)
            return False
        bundle = worker.bundle
        if bundle is None:
            return True
        if kind == "event":
            self._tell("event", bundle, event=content)
            return True
        worker.bundle = None
        self._tell("left", bundle)
        self._ended(bundle, kind, content)
        return True

    def _ended(self, bundle: Bundle, kind: str, content: str) -> None:
        """What becomes of runs that a worker is done with."""
        if kind in ("busy", "memory") and len(bundle.jobs) > 1:
            for half in bundle.halves():  # so that one run does not hold the others up
                self._queue.add(half)
            if kind == "memory":
                self._tell("retried", bundle, text=f"{content}; tried again as two halves")
        elif kind == "error" and len(bundle.jobs) > 1:  # such as a rule that vmap cannot trace
            for job in bundle.jobs:
                self._queue.add(Bundle(jobs=(job,)))
            self._tell("retried", bundle, text=f"{content}; tried again one by one")
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

    def _replace(self, worker: _Worker) -> None:
        """A worker died: another takes its place, and its runs are tried again or given up."""
        bundle, code = worker.bundle, worker.process.exitcode
        worker.pipe.close()
        self._team[self._team.index(worker)] = self._hire()
        if bundle is None:
            return
        first = bundle.jobs[0].fingerprint
        self._attempts[first] += 1
        how = f"{'signal' if (code or 0) < 0 else 'exit code'} {abs(code or 0)}"
        reason = f"its worker died ({how})"
        log.warning("%s: %s", bundle.label, reason)
        self._tell("left", bundle)
        if self._attempts[first] > self.retries:
            self._fail(bundle, f"{reason}, {self._attempts[first]} times")
        else:
            self._queue.add(bundle)
            self._tell("retried", bundle, text=f"{reason}; tried again")

    def _dismiss(self) -> None:
        for worker in self._team:
            worker.pipe.close()  # its next read ends it
        for worker in self._team:
            worker.process.join(STOP_WAIT_S)
            if worker.process.is_alive():
                worker.process.kill()

    def _stop(self) -> None:
        """Ask every worker to write a checkpoint and end."""
        for worker in self._team:
            if worker.process.is_alive():
                worker.process.terminate()
