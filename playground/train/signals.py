"""Stopping on request: Ctrl-C and SIGTERM end a run after the step it is in, with a checkpoint."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from playground.errors import PlaygroundError

log = logging.getLogger(__name__)


class RunInterrupted(PlaygroundError):
    """A run that was asked to stop and can be taken up again.

    Args:
        folder: the run's folder.
        step: optimizer steps done; they are in its last checkpoint.
        steps: optimizer steps in all.
    """

    exit_code = 130  # of the command line: what a shell gives for Ctrl-C

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self.folder, self.step, self.steps = folder, step, steps
        super().__init__(
            f"{folder}: stopped after step {step} of {steps}; a checkpoint is written. "
            "Give the same command again to go on from there."
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.folder, self.step, self.steps)


class StopRequest:
    """Whether somebody asked to stop after the current step."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def _handling(handle: Callable[[int, FrameType | None], None], *numbers: int) -> Iterator[None]:
    """Signals of these numbers go to a handler; only the main thread may handle them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, which schedulers and process managers send, raises KeyboardInterrupt as Ctrl-C does.

    Outside the main thread signals are left alone.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling(handle, signal.SIGTERM):
        yield


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn SIGTERM and the first Ctrl-C into a request; a second Ctrl-C stops at once.

    Outside the main thread signals are left alone.
    """
    request, pressed = StopRequest(), False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if number == signal.SIGINT:
            if pressed:
                raise KeyboardInterrupt
            pressed = True
            log.warning("stopping after this step; Ctrl-C again stops at once, no checkpoint")
        request.requested = True

    with _handling(handle, signal.SIGINT, signal.SIGTERM):
        yield request
