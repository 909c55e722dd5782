"""Time and losses of a run as they add up, also over several attempts."""

import time
from collections.abc import Callable, Mapping
from typing import Any


class Clock:
    """Seconds and tokens of training.

    The first step of an attempt compiles, so it counts as elapsed but not for the speed.
    """

    def __init__(self) -> None:
        self._before_s = 0.0  # earlier attempts
        self._began = time.perf_counter()
        self._first_step_done: float | None = None
        self._steps = 0
        self.timed_s = 0.0
        self.timed_tokens = 0

    def elapsed_s(self) -> float:
        """Seconds of all attempts."""
        return self._before_s + time.perf_counter() - self._began

    def count(self, seconds: float, tokens: int) -> None:
        """One more step is done."""
        if self._first_step_done is None:
            self._first_step_done, self._steps = time.perf_counter(), 1
            return
        self._steps += 1
        self.timed_s += seconds
        self.timed_tokens += tokens

    def tokens_per_s(self) -> float | None:
        """Training speed, None before the second step."""
        return self.timed_tokens / self.timed_s if self.timed_s > 0 else None

    def eta_s(self, step: int, steps: int, tokens_by: Callable[[int], float]) -> float | None:
        """Seconds until the last step at the pace of this attempt, evaluations included.

        Args:
            step: how many are done.
            steps: how many there are in all.
            tokens_by: a count of steps -> the tokens they read; later steps may read longer ones.
        """
        if self._first_step_done is None or self._steps < 2:
            return None
        read = tokens_by(step) - tokens_by(step - self._steps + 1)
        pace = (time.perf_counter() - self._first_step_done) / read
        return (tokens_by(steps) - tokens_by(step)) * pace

    def numbers(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "elapsed_s": self.elapsed_s(),
            "timed_s": self.timed_s,
            "timed_tokens": self.timed_tokens,
        }

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self._before_s = float(numbers["elapsed_s"])
        self._began = time.perf_counter()
        self.timed_s = float(numbers["timed_s"])
        self.timed_tokens = int(numbers["timed_tokens"])


class Mean:
    """The mean of the values since it was last taken."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.total, self.count = total, count

    def add(self, value: float) -> None:
        """One more value."""
        self.total += value
        self.count += 1

    def take(self) -> float:
        """The mean; begins anew."""
        mean = self.total / max(1, self.count)
        self.total, self.count = 0.0, 0
        return mean
