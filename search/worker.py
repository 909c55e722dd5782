"""A worker process: trains the runs it is handed, a bundle after another.

This file imports nothing heavy: threads and cache are set before torch is loaded.
"""

import errno
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

SHOW_EVERY_S = 0.25  # how often a run's progress is passed on


def work(pipe: Connection, threads: int, carry_out: Callable[..., tuple[str, str]]) -> None:
    """Take an `Order` after another from the pipe until its end.

    Sends ("event", Event) while runs go and one of ("done", ""), ("busy", ""), ("stopped", ""),
    ("memory", reason), ("disk", reason), ("error", reason) when they are over.

    Args:
        pipe: our end of it.
        threads: to compute with.
        carry_out: trains an order's runs, telling events to its second argument.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between runs the driver decides
    import torch

    torch.set_num_threads(threads)
    last_graph = ""
    while (order := _next(pipe)) is not None:
        if last_graph not in ("", order.graph):
            torch.compiler.reset()  # its tables hold few variants of one function
        last_graph = order.graph
        _tell(pipe, carry_out(order, _Shown(pipe)))


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):  # the driver is gone
        return None


def train_runs(order: Any, shown: Callable[[Any], None]) -> tuple[str, str]:
    """Train the runs of an order together; what became of them."""
    import playground as pg

    try:
        specs = [pg.convert(pg.RunSpec, raw) for raw in order.specs]
        pg.train_together(specs, order.store, shown, retry=order.retry)
    except pg.RunBusy:
        return "busy", ""
    except (pg.RunInterrupted, KeyboardInterrupt):
        return "stopped", ""
    except Exception as error:  # whatever it is, it is these runs' outcome and rows of the report
        kind = "memory" if _is_memory(error) else "disk" if _is_disk(error) else "error"
        return kind, f"{type(error).__name__}: {error}"
    return "done", ""


def _is_memory(error: Exception) -> bool:
    """Whether there was not enough memory, of a device or of the machine."""
    import torch

    words = "not enough memory" in str(error) or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or words


def _is_disk(error: Exception) -> bool:
    """Whether nothing can be written any more: no fault of the runs."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return isinstance(error, OSError) and error.errno in full


def _tell(pipe: Connection, message: tuple[str, Any]) -> None:
    try:
        pipe.send(message)
    except OSError:
        return  # the driver is gone; the next read ends this process


class _Shown:
    """Passes events on, of one run of a bundle, not more often than somebody can look."""

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
