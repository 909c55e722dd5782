"""What carries runs out: workers that are hired, given a program's runs, and listened to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import playground as pg

CarryOut = Callable[..., tuple[str, str]]
Planned = pg.SweepSpec | pg.SearchSpec
Said = tuple[str, Any]  # see `search.worker.work`; and ("died", how)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Runs for a worker.

    Attributes:
        specs: each run as plain data (`playground.to_dict`).
        store: the run store, as an absolute path that every worker can reach.
        graph: see `Job.graph`.
        retry: also take up runs that failed.
    """

    specs: tuple[Mapping[str, Any], ...]
    store: str
    graph: str
    retry: bool


@dataclass(frozen=True, kw_only=True)
class Team:
    """How many workers, and how many threads each."""

    workers: int
    threads: int


class Worker(Protocol):
    """A process that trains one program at a time."""

    def give(self, order: Order) -> None:
        """Let it begin; that it died is heard by listening."""
        ...

    def stop(self) -> None:
        """Ask it to write checkpoints and end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


W = TypeVar("W", bound=Worker)


class Engine(Protocol[W]):
    """Where workers live."""

    def check(self, spec: Planned) -> None:
        """Refuse a sweep none of whose runs can be carried out here.

        Raises:
            SpecError, LoweringError: naming what is missing.
        """
        ...

    def team(self, spec: Planned, runs: int, workers: int | None = None) -> Team:
        """How many workers so many runs get; `workers` is asked for, None is what the spec says."""
        ...

    def hire(self, threads: int) -> W:
        """A new worker that computes with so many threads."""
        ...

    def listen(self, workers: Sequence[W], timeout_s: float) -> list[tuple[W, Said]]:
        """What any of them said, in order; empty after so many seconds of silence."""
        ...

    def dismiss(self, workers: Sequence[W]) -> None:
        """Let them end, and wait for that."""
        ...
