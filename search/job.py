"""One run of a sweep, and the identity under which its result is kept."""

from collections.abc import Mapping, Sequence
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
        stack: see `playground.stack_key`.
        at: the place of the sweep's `across` that it is run at.
        tried: the values of a tuning run; empty for a run of the comparison.
    """

    variant: str
    seed: int
    spec: pg.RunSpec
    fingerprint: str
    graph: str
    stack: str | None
    at: str = ""
    tried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Variant, place, what it tries and seed, for a progress line."""
        values = [f"{key.rpartition('.')[2]}={value}" for key, value in self.tried.items()]
        return f"{' '.join(filter(None, [self.variant, self.at, *values]))} #{self.seed}"

    @property
    def entry(self) -> dict[str, Any]:
        """What a plan's file says of it."""
        at = {"at": self.at} if self.at else {}
        return {**at, "seed": self.seed, "fingerprint": self.fingerprint}


class Jobs:
    """Makes the jobs of a sweep; every data set is looked up once."""

    def __init__(self) -> None:
        self._tasks: dict[Any, pg.Task] = {}
        self._keys: dict[pg.RunSpec, tuple[str, str | None]] = {}

    def task(self, spec: pg.RunSpec) -> pg.Task:
        """The task of a run."""
        if spec.task not in self._tasks:
            self._tasks[spec.task] = pg.make_task(spec.task)
        return self._tasks[spec.task]

    def check_test(self, spec: pg.RunSpec, why: str) -> None:
        """Refuse data without a test part of its own.

        Raises:
            SpecError: saying why that part is needed.
        """
        if self.task(spec).describe().get("test") == pg.SAME_AS_VAL:
            raise no_own_test(why)

    def jobs(
        self,
        variant: str,
        specs: Sequence[pg.RunSpec],
        tried: Mapping[str, Any] | None = None,
        at: str = "",
    ) -> list[Job]:
        """Runs of a variant at one place as jobs; they differ in nothing but the seed.

        Raises:
            SpecError, DataError: its data cannot be used.
        """
        spec, seeds = specs[0], [spec.seed for spec in specs]
        names = pg.fingerprints(spec, seeds, self.task(spec).data_sha())
        graph, stack = self._alike(spec)
        return [
            Job(
                variant=variant,
                seed=one.seed,
                spec=one,
                fingerprint=name,
                graph=graph,
                stack=stack,
                at=at,
                tried=tried or {},
            )
            for one, name in zip(specs, names, strict=True)
        ]

    def _alike(self, spec: pg.RunSpec) -> tuple[str, str | None]:
        """What runs share that differ in seed and optimizer alone: graph class, stack."""
        key = replace(spec, seed=0, train=replace(spec.train, optim=pg.OptimSpec()))
        if key not in self._keys:
            self._keys[key] = _graph(spec), pg.stack_key(spec)
        return self._keys[key]


def blind(spec: pg.RunSpec) -> pg.RunSpec:
    """The run scored on the validation split alone: it chooses, and the test split stays unread."""
    return replace(spec, train=replace(spec.train, score_test=False), evaluate=())


def _graph(spec: pg.RunSpec) -> str:
    alike = replace(spec, seed=0, train=pg.TrainSpec(batch=spec.train.batch))
    return pg.fingerprint(alike)


def no_own_test(why: str) -> pg.SpecError:
    """The error of data whose test part is its val part; `why` says who needs its own."""
    problem = f"the test part is {pg.SAME_AS_VAL}, and {why}."
    fix = "Give the test a part of its own, such as split: [0.8, 0.1, 0.1]."
    return pg.SpecError("task.split", problem, fix=fix)
