"""Runs that are trained as one program, and how runs are put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import playground as pg
from search.job import Job

MOST = 8  # replicas in one program; a larger stack gains little and fails together
NUMBERS = 1 << 23  # of the residual streams of a stack: batch x length x dim x depth, all replicas


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Runs of one `stack_key`, or one run; a worker takes it as a whole."""

    jobs: tuple[Job, ...]

    @property
    def graph(self) -> str:
        """See `Job.graph`."""
        return self.jobs[0].graph

    @property
    def label(self) -> str:
        """What a progress line calls it."""
        if len(self.jobs) == 1:
            return self.jobs[0].label
        labels = (", ".join(filter(None, (job.variant, job.at))) for job in self.jobs)
        names = list(dict.fromkeys(labels))
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        return f"{', '.join(names[:2])}{more}, {len(self.jobs)} runs"

    def halves(self) -> "list[Bundle]":
        """Two smaller ones."""
        middle = (len(self.jobs) + 1) // 2
        return [Bundle(jobs=part) for part in (self.jobs[:middle], self.jobs[middle:]) if part]

    def without(self, done: set[str]) -> "Bundle | None":
        """The runs that are not in `done`, by fingerprint; None if all are."""
        left = tuple(job for job in self.jobs if job.fingerprint not in done)
        return Bundle(jobs=left) if left else None


def bundles(jobs: Sequence[Job], vectorize: bool | int | str, workers: int) -> list[Bundle]:
    """All runs in bundles; which run is where depends on the arguments alone.

    Args:
        jobs: the runs; equal ones count once.
        vectorize: of `EngineSpec`.
        workers: how many bundles are trained at once; where runs can be parted, there are as many
            as leave no worker idle in the last round, unless a number fixes how many are together.
    """
    unique = list({job.fingerprint: job for job in jobs}.values())
    groups: dict[str, list[Job]] = {}
    for job in unique:
        key = None if vectorize is False else job.stack
        groups.setdefault(key or job.fingerprint, []).append(job)
    for group in groups.values():  # equal numbers side by side: the optimizer moves them in one
        first = list(dict.fromkeys(job.spec.train.optim for job in group))
        group.sort(key=lambda job: first.index(job.spec.train.optim))
    parts = {
        key: -(-len(group) // _most(group[0].spec, vectorize)) for key, group in groups.items()
    }
    while groups and not _fixed(vectorize) and sum(parts.values()) % workers:
        key = max(groups, key=lambda key: len(groups[key]) / parts[key])
        if parts[key] == len(groups[key]):
            break
        parts[key] += 1
    return [part for key, group in groups.items() for part in _cut(group, parts[key])]


def unfinished(
    jobs: Sequence[Job], todo: Sequence[Job], vectorize: bool | int | str, workers: int
) -> list[Bundle]:
    """The bundles of `jobs`, with only those runs in them that are in `todo`."""
    done = {job.fingerprint for job in jobs} - {job.fingerprint for job in todo}
    parts = (bundle.without(done) for bundle in bundles(jobs, vectorize, workers))
    return [part for part in parts if part is not None]


def _most(spec: pg.RunSpec, vectorize: bool | int | str) -> int:
    """How many runs like this one are trained together."""
    if _fixed(vectorize):
        return int(vectorize)
    each = spec.train.batch * spec.example_length * spec.model.dim * spec.model.depth
    return max(1, min(MOST, NUMBERS // each))


def _fixed(vectorize: bool | int | str) -> bool:
    """Whether a number says how many: stacks, and so last digits, are those of any machine."""
    return isinstance(vectorize, int) and not isinstance(vectorize, bool)


def _cut(group: Sequence[Job], parts: int) -> list[Bundle]:
    """Parts whose sizes differ by at most one."""
    edges = [len(group) * i // parts for i in range(parts + 1)]
    return [Bundle(jobs=tuple(group[a:b])) for a, b in pairwise(edges) if b > a]
