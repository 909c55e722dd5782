"""Worker processes on this machine: nothing to start, nothing to install."""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

import playground as pg
from search.engine import CarryOut, Order, Planned, Said, Team
from search.worker import train_runs, work

MOST_WORKERS = 8  # each has its own torch and compiled programs in memory
END_WAIT_S = 60.0  # for workers to end their step and write a checkpoint


@dataclass(kw_only=True)
class LocalWorker:
    """A process and our end of its pipe."""

    process: BaseProcess
    pipe: Connection

    def give(self, order: Order) -> None:
        """See `Worker`."""
        try:
            self.pipe.send(order)
        except OSError:
            return  # it died while idle: `Local.listen` tells

    def stop(self) -> None:
        """See `Worker`."""
        if self.process.is_alive():
            self.process.terminate()

    def kill(self) -> None:
        """See `Worker`."""
        self.process.kill()

    def heard(self) -> list[Said]:
        """All it has said since the last time; a process that ended says so last."""
        said: list[Said] = []
        try:
            while self.pipe.poll():
                said.append(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join(1.0)
        if not said and not self.process.is_alive():
            code = self.process.exitcode or 0
            said.append(("died", f"{'signal' if code < 0 else 'exit code'} {abs(code)}"))
        return said


class Local:
    """The default engine.

    Args:
        carry_out: what a worker does with its runs.
    """

    def __init__(self, carry_out: CarryOut = train_runs) -> None:
        self._carry_out = carry_out
        self._context = multiprocessing.get_context("spawn")

    def check(self, spec: Planned) -> None:
        """See `Engine`."""
        pg.pick_device(spec.device)
        if spec.compile:
            pg.require_compiler()

    def team(self, spec: Planned, runs: int, workers: int | None = None) -> Team:
        """See `Engine`.

        `auto` is a process per core on a CPU, up to 8: small models gain more from runs side by
        side than from threads. A GPU gets one process.
        """
        asked = workers if workers is not None else spec.run.workers
        if asked == "auto":
            on_cpu = pg.pick_device(spec.device).type == "cpu"
            asked = min(_cores(), MOST_WORKERS) if on_cpu else 1
        count = max(1, min(asked, runs))
        threads = spec.run.threads
        if threads == "auto":
            threads = max(1, min(_cores() // count, torch.get_num_threads()))
        return Team(workers=count, threads=threads)

    def hire(self, threads: int) -> LocalWorker:
        """See `Engine`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, threads, self._carry_out))
        process.start()
        theirs.close()
        return LocalWorker(process=process, pipe=ours)

    def listen(
        self, workers: Sequence[LocalWorker], timeout_s: float
    ) -> list[tuple[LocalWorker, Said]]:
        """See `Engine`."""
        sources: dict[Any, LocalWorker] = {}
        for worker in workers:
            sources[worker.pipe] = worker
            sources[worker.process.sentinel] = worker
        ready = wait(list(sources), timeout=timeout_s)
        spoke = {id(sources[one]): sources[one] for one in ready}.values()
        return [(worker, said) for worker in spoke for said in worker.heard()]

    def dismiss(self, workers: Sequence[LocalWorker]) -> None:
        """See `Engine`."""
        for worker in workers:
            worker.pipe.close()  # its next read ends it
        for worker in workers:
            worker.process.join(END_WAIT_S)
            if worker.process.is_alive():
                worker.process.kill()


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, cores or 1)
