"""What reading a long stream costs as it goes on: speed, peak memory, bytes of state."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

FIRST = 1024  # tokens before the first record


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a stream stood after `tokens` tokens.

    Attributes:
        tokens: read of the stream.
        seconds: since reading began.
        tokens_per_s: since the mark before, of all rows together.
        peak_bytes: the most that the process, or the GPU, has held so far.
        state_bytes: of one sequence.
    """

    tokens: int
    seconds: float
    tokens_per_s: float
    peak_bytes: int
    state_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far an evaluation is: tokens of all its streams, and their speed over all so far."""

    tokens: int
    total: int
    tokens_per_s: float
    eta_s: float


class Meter:
    """Marks at powers of two and at the end, of the first stream that is read.

    Args:
        length: tokens of a stream.
        device: where the model is.
        streams: how many are read, one after another.
        tell: called now and then.
    """

    def __init__(
        self,
        length: int,
        device: torch.device,
        *,
        streams: int = 1,
        tell: Callable[[Pace], None] | None = None,
    ) -> None:
        self.length, self.device, self.tell = length, device, tell
        self.total = length * streams
        self.marks: list[Mark] = []
        self._next, self._last, self._before = FIRST, 0, 0
        self.begin()

    def begin(self) -> None:
        """Start the clock: what was prepared before is not counted, compiling on the way is."""
        self._began = self._marked = time.perf_counter()

    def __call__(self, read: int, state: Any) -> None:
        """Take in that `read` tokens of the stream were read."""
        now = time.perf_counter()
        if read < self._last:  # another stream begins
            self._before += self._last
            self._next = sys.maxsize
        self._last = read
        if read >= self._next or (read >= self.length and self._next < sys.maxsize):
            self._mark(read, now, state)
        if self.tell is not None:
            done = min(self._before + read, self.total)
            speed = done / max(1e-9, now - self._began)
            left = (self.total - done) / speed
            self.tell(Pace(tokens=done, total=self.total, tokens_per_s=speed, eta_s=left))

    def _mark(self, read: int, now: float, state: Any) -> None:
        rows = int(state.batch_size[0])
        before = self.marks[-1].tokens if self.marks else 0
        mark = Mark(
            tokens=read,
            seconds=now - self._began,
            tokens_per_s=(read - before) * rows / max(1e-9, now - self._marked),
            peak_bytes=peak_bytes(self.device),
            state_bytes=state.num_bytes(),
        )
        self.marks.append(mark)
        self._marked = now
        while self._next <= read:
            self._next *= 2
        if read >= self.length:
            self._next = sys.maxsize

    def rows(self) -> list[dict[str, float]]:
        """The marks as plain data."""
        return [asdict(mark) for mark in self.marks]


def peak_bytes(device: torch.device) -> int:
    """The most memory that was held so far: by the process, or on the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
