"""Which runs a free worker takes next."""

from collections import Counter
from collections.abc import Iterable, Sequence

from search.bundle import Bundle


class Queue:
    """Runs that wait; those with the same compiled program go to the worker that has it."""

    def __init__(self, bundles: Iterable[Bundle]) -> None:
        self._bundles = list(bundles)

    def __len__(self) -> int:
        return len(self._bundles)

    def add(self, bundle: Bundle) -> None:
        """Put a run at the end."""
        self._bundles.append(bundle)

    def take(self, graph: str, elsewhere: Sequence[str] = ()) -> Bundle:
        """The next run for a worker.

        Args:
            graph: of the worker's last run; "" for a new worker.
            elsewhere: graphs that other workers are busy with.

        Raises:
            IndexError: none waits.
        """
        same = [bundle for bundle in self._bundles if bundle.graph == graph]
        fresh = [bundle for bundle in self._bundles if bundle.graph not in elsewhere]
        if not self._bundles:
            raise IndexError("no run waits")
        chosen = (same or fresh or self._largest())[0]
        self._bundles.remove(chosen)
        return chosen

    def _largest(self) -> list[Bundle]:
        """The runs of the graph that most wait for: a second worker for it pays most."""
        counts = Counter(bundle.graph for bundle in self._bundles for _ in bundle.jobs)
        (graph, _), *_ = counts.most_common(1)
        return [bundle for bundle in self._bundles if bundle.graph == graph]
