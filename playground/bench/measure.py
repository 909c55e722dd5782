"""How long a function takes: the one place where a clock is read for a benchmark."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Function = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Times:
    """Wall time of one call in milliseconds: quantiles over `repeats` calls, and the least."""

    median: float
    p20: float
    p80: float
    fastest: float
    repeats: int

    @classmethod
    def of(cls, samples: list[float]) -> "Times":
        """From samples in milliseconds, at least one."""
        ordered = sorted(samples)
        return cls(
            median=_quantile(ordered, 0.5),
            p20=_quantile(ordered, 0.2),
            p80=_quantile(ordered, 0.8),
            fastest=ordered[0],
            repeats=len(ordered),
        )

    def per(self, steps: int) -> "Times":
        """The times of one of so many equal steps of a call."""
        parts = (self.median, self.p20, self.p80, self.fastest)
        median, p20, p80, fastest = (part / steps for part in parts)
        return Times(median=median, p20=p20, p80=p80, fastest=fastest, repeats=self.repeats)


def _quantile(ordered: list[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    return low + (at - math.floor(at)) * (high - low)


def nothing() -> None:
    """What there is to wait for on a CPU."""


def measure(
    function: Function, *, warmup: int = 3, repeats: int = 20, sync: Callable[[], object] = nothing
) -> Times:
    """Time one function.

    Args:
        function: called without arguments; its result is dropped.
        warmup: calls before the first that counts: compilation, allocators, caches.
        repeats: calls that count, at least 1.
        sync: waits until the device is idle.
    """
    return measure_together({"": function}, warmup=warmup, repeats=repeats, sync=sync)[""]


def measure_together(
    functions: Mapping[str, Function],
    *,
    warmup: int = 3,
    repeats: int = 20,
    sync: Callable[[], object] = nothing,
) -> dict[str, Times]:
    """Time functions that will be compared: one call of each in turn, so that drift hits all.

    Every round begins with another one, since what ran just before leaves its traces in caches.
    """
    names = list(functions)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(warmup):
        for function in functions.values():
            function()
    for turn in range(repeats):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            sync()
            begin = time.perf_counter()
            functions[name]()
            sync()
            samples[name].append((time.perf_counter() - begin) * 1e3)
    return {name: Times.of(found) for name, found in samples.items()}
