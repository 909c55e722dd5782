"""A worker process: trains the runs it is handed, one after another.

This file imports nothing heavy: threads and cache are set before torch is loaded.
"""

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SHOW_EVERY_S = 0.25  # how often a run's progress is passed on


def work(pipe: Connection, threads: int) -> None:
    """Take (spec file, store, graph, retry) from the pipe until None or its end.

    Sends ("event", Event) while a run goes and one of ("done", None), ("busy", None),
    ("stopped", None), ("error", reason) when it is over.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between runs the driver decides
    import torch

    torch.set_num_threads(threads)
    last_graph = ""
    while (job := _next(pipe)) is not None:
        spec_file, store, graph, retry = job
        if last_graph not in ("", graph):
            torch.compiler.reset()  # its tables hold few variants of one function
        last_graph = graph
        _tell(pipe, _train(pipe, Path(spec_file), Path(store), retry))


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:  # the driver is gone
        return None


def _train(pipe: Connection, spec_file: Path, store: Path, retry: bool) -> tuple[str, Any]:
    import playground as pg

    shown = _Shown(pipe)
    try:
        pg.train(pg.load_run(spec_file), store, shown, retry=retry)
    except pg.RunBusy:
        return "busy", None
    except pg.RunInterrupted:
        return "stopped", None
    except KeyboardInterrupt:
        return "stopped", None
    except Exception as error:  # whatever it is, it is this run's outcome and a row of the report
        return "error", f"{type(error).__name__}: {error}"
    return "done", None


def _tell(pipe: Connection, message: tuple[str, Any]) -> None:
    try:
        pipe.send(message)
    except OSError:
        return  # the driver is gone; the next read ends this process


class _Shown:
    """Passes a run's events on, not more often than somebody can look."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.next_s = 0.0

    def __call__(self, event: Any) -> None:
        now = time.monotonic()
        if event.kind in ("step", "test") and now < self.next_s:
            return
        self.next_s = now + SHOW_EVERY_S
        try:
            self.pipe.send(("event", event))
        except OSError:
            signal.raise_signal(signal.SIGTERM)  # nobody is left to report to: stop, keeping it
