"""A sweep as the list of its runs, each with the identity under which its result is kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import playground as pg
from search.match import Matched, matched


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a sweep.

    Attributes:
        fingerprint: identity of the run.
        graph: the same for runs whose compiled programs are the same (they differ in seed or
            schedule only): a worker that has compiled one is quick with the others.
    """

    variant: str
    seed: int
    spec: pg.RunSpec
    fingerprint: str
    graph: str

    @property
    def label(self) -> str:
        """Variant and seed, for a progress line."""
        return f"{self.variant} #{self.seed}"


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep's runs, the baseline's first, and what its report needs.

    Attributes:
        overrides: variant -> what it changes, key by key, against the baseline.
        task: what the baseline's task says of itself.
        matched: variant -> how its size compares, where the sweep asks for equal sizes.
    """

    name: str
    spec: pg.SweepSpec
    jobs: tuple[Job, ...]
    overrides: Mapping[str, Mapping[str, Any]]
    task: Mapping[str, Any]
    matched: Mapping[str, Matched] = field(default_factory=dict)

    def todo(self, store: pg.RunStore, *, retry: bool = False) -> list[Job]:
        """The runs that have no result yet, each once; with `retry` also those that failed."""
        open_jobs: dict[str, Job] = {}
        for job in self.jobs:
            result = store.run(job.fingerprint).result()
            if result is None or (retry and not result.ok):
                open_jobs.setdefault(job.fingerprint, job)
        return list(open_jobs.values())

    def to_dict(self) -> dict[str, Any]:
        """sweep.json."""
        variants: dict[str, Any] = {}
        for job in self.jobs:
            entry = variants.setdefault(
                job.variant, {"overrides": dict(self.overrides[job.variant]), "runs": []}
            )
            entry["runs"].append({"seed": job.seed, "fingerprint": job.fingerprint})
        report = self.spec.report
        return {
            "name": self.name,
            "baseline": self.jobs[0].variant,
            "variants": variants,
            "task": dict(self.task),
            "matched": {name: asdict(found) for name, found in self.matched.items()},
            "report": {
                "metrics": list(report.metrics),
                "test": report.test,
                "correct": report.correct,
                "formats": list(report.formats),
            },
        }


def plan_sweep(spec: pg.SweepSpec, name: str) -> SweepPlan:
    """Expand a sweep into runs; reads the data, trains nothing.

    Args:
        spec: the sweep.
        name: what its folder is called, usually the name of its file.

    Raises:
        SpecError, DataError: a variant or the data cannot be used.
    """
    runs, sizes = runs_of(spec)
    tasks: dict[Any, pg.Task] = {}
    jobs = []
    for run in runs:
        if run.spec.task not in tasks:
            tasks[run.spec.task] = pg.make_task(run.spec.task)
        jobs.append(
            Job(
                variant=run.variant,
                seed=run.seed,
                spec=run.spec,
                fingerprint=pg.fingerprint(run.spec, tasks[run.spec.task].data_sha()),
                graph=_graph(run.spec),
            )
        )
    first = {job.variant: job.spec for job in reversed(jobs)}
    base = jobs[0].spec
    return SweepPlan(
        name=name,
        spec=spec,
        jobs=tuple(jobs),
        overrides={variant: changes(base, run) for variant, run in first.items()},
        task=tasks[base.task].describe(),
        matched=sizes,
    )


def runs_of(spec: pg.SweepSpec) -> tuple[list[pg.SweepRun], dict[str, Matched]]:
    """A sweep's runs, the baseline's first, their models matched if it asks for that."""
    runs = spec.expand()
    return (runs, {}) if spec.match is None else matched(runs, spec.match)


def changes(base: pg.RunSpec, other: pg.RunSpec) -> dict[str, Any]:
    """What `other` has that `base` has not, by dotted key; seeds do not count."""
    before, after = _flat(pg.to_dict(base)), _flat(pg.to_dict(other))
    found = {key: value for key, value in after.items() if before.get(key, _ABSENT) != value}
    found.pop("seed", None)
    return {key.removeprefix("model."): value for key, value in found.items()}


_ABSENT = object()


def _flat(raw: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        path = f"{above}.{key}".lstrip(".")
        if isinstance(value, Mapping):
            flat |= _flat(value, path)
        else:
            flat[path] = value
    return flat


def _graph(spec: pg.RunSpec) -> str:
    alike = replace(spec, seed=0, train=pg.TrainSpec(batch=spec.train.batch))
    return pg.fingerprint(alike)


def write_specs(plan: SweepPlan, store: pg.RunStore) -> None:
    """Put every run's spec into its folder: where a worker, or a person, finds it."""
    for job in plan.jobs:
        store.run(job.fingerprint).write_spec(pg.to_yaml(job.spec))
