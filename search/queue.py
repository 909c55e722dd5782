"""Which run a free worker takes next."""

from collections import Counter
from collections.abc import Iterable, Sequence

from search.job import Job


class Queue:
    """Runs that wait; those with the same compiled program go to the worker that has it."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = list(jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Put a run at the end."""
        self._jobs.append(job)

    def take(self, graph: str, elsewhere: Sequence[str] = ()) -> Job:
        """The next run for a worker.

        Args:
            graph: of the worker's last run; "" for a new worker.
            elsewhere: graphs that other workers are busy with.

        Raises:
            IndexError: none waits.
        """
        same = [job for job in self._jobs if job.graph == graph]
        fresh = [job for job in self._jobs if job.graph not in elsewhere]
        if not self._jobs:
            raise IndexError("no run waits")
        chosen = (same or fresh or self._largest())[0]
        self._jobs.remove(chosen)
        return chosen

    def _largest(self) -> list[Job]:
        """The runs of the graph that most wait for: a second worker for it pays most."""
        counts = Counter(job.graph for job in self._jobs)
        (graph, _), *_ = counts.most_common(1)
        return [job for job in self._jobs if job.graph == graph]
