"""Worker processes that carry out runs; one that dies is replaced and its run tried again."""

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

import playground as pg
from search.job import Job
from search.queue import Queue
from search.worker import work

log = logging.getLogger(__name__)

BUSY_WAIT_S = 2.0  # between looks at a run that another process is training
STOP_WAIT_S = 60.0  # for workers to end their step and write a checkpoint


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """One moment of a sweep: a run was "started", moved on ("event"), or is over.

    Over: "done", "failed" (with the reason in `text`), or "retried" (its worker died).
    """

    kind: Literal["started", "event", "done", "failed", "retried"]
    job: Job
    event: pg.Event | None = None
    text: str = ""


Watch = Callable[[JobEvent], None]


@dataclass(kw_only=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
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

    def run(self, jobs: Sequence[Job]) -> None:
        """Carry out all runs; their results are in the store afterwards.

        Raises:
            KeyboardInterrupt: asked to stop; every run in progress has a checkpoint.
        """
        self._queue, self._attempts = Queue(jobs), dict.fromkeys((j.fingerprint for j in jobs), 0)
        self._later: list[tuple[float, Job]] = []
        self._team = [self._hire() for _ in range(min(self.workers, len(jobs)))]
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
        for at, job in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, job))
            self._queue.add(job)
        for worker in self._team:
            if worker.job is None and len(self._queue):
                elsewhere = [w.graph for w in self._team if w.job is not None]
                self._hand(worker, self._queue.take(worker.graph, elsewhere))
        return any(worker.job for worker in self._team) or bool(self._later)

    def _hand(self, worker: _Worker, job: Job) -> None:
        worker.job, worker.graph = job, job.graph
        spec_file = self.store.run(job.fingerprint).spec_path
        message = (str(spec_file), str(self.store.root), job.graph, self.retry_failed)
        try:
            worker.pipe.send(message)
        except OSError:
            return  # it died while idle: its sentinel tells, and the run is tried again
        self.watch(JobEvent(kind="started", job=job))

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
        job = worker.job
        if job is None:
            return True
        if kind == "event":
            self.watch(JobEvent(kind="event", job=job, event=content))
            return True
        worker.job = None
        if kind in ("busy", "stopped"):
            self._later.append((time.monotonic() + BUSY_WAIT_S, job))
        elif kind == "error":
            self._fail(job, content)
        else:
            self._over(job)
        return True

    def _over(self, job: Job) -> None:
        result = self.store.run(job.fingerprint).result()
        failed = result is not None and not result.ok
        text = (result.reason or "") if result is not None and failed else ""
        self.watch(JobEvent(kind="failed" if failed else "done", job=job, text=text))

    def _fail(self, job: Job, reason: str) -> None:
        pg.record_failure(job.spec, self.store.root, reason)
        self.watch(JobEvent(kind="failed", job=job, text=reason))

    def _replace(self, worker: _Worker) -> None:
        """A worker died: another takes its place, and its run is tried again or given up."""
        job, code = worker.job, worker.process.exitcode
        worker.pipe.close()
        self._team[self._team.index(worker)] = self._hire()
        if job is None:
            return
        self._attempts[job.fingerprint] += 1
        reason = (
            f"its worker died ({'signal' if (code or 0) < 0 else 'exit code'} {abs(code or 0)})"
        )
        log.warning("%s: %s", job.label, reason)
        if self._attempts[job.fingerprint] > self.retries:
            self._fail(job, f"{reason}, {self._attempts[job.fingerprint]} times")
        else:
            self._queue.add(job)
            self.watch(JobEvent(kind="retried", job=job, text=reason))

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
