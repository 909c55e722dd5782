"""One run of a sweep, and the identity under which its result is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import playground as pg


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a sweep.

    Attributes:
        fingerprint: identity of the run.
        graph: the same for runs whose compiled programs are the same (they differ in seed or
            schedule only): a worker that has compiled one is quick with the others.
        tried: the values of a tuning run; empty for a run of the comparison.
    """

    variant: str
    seed: int
    spec: pg.RunSpec
    fingerprint: str
    graph: str
    tried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Variant, what it tries and seed, for a progress line."""
        values = (f"{key.rpartition('.')[2]}={value}" for key, value in self.tried.items())
        return f"{' '.join([self.variant, *values])} #{self.seed}"


class Jobs:
    """Makes the jobs of a sweep; every data set is looked up once."""

    def __init__(self) -> None:
        self._tasks: dict[Any, pg.Task] = {}

    def task(self, spec: pg.RunSpec) -> pg.Task:
        """The task of a run."""
        if spec.task not in self._tasks:
            self._tasks[spec.task] = pg.make_task(spec.task)
        return self._tasks[spec.task]

    def job(self, variant: str, spec: pg.RunSpec, tried: Mapping[str, Any] | None = None) -> Job:
        """A run of a variant as a job.

        Raises:
            SpecError, DataError: its data cannot be used.
        """
        return Job(
            variant=variant,
            seed=spec.seed,
            spec=spec,
            fingerprint=pg.fingerprint(spec, self.task(spec).data_sha()),
            graph=_graph(spec),
            tried=tried or {},
        )


def _graph(spec: pg.RunSpec) -> str:
    alike = replace(spec, seed=0, train=pg.TrainSpec(batch=spec.train.batch))
    return pg.fingerprint(alike)
