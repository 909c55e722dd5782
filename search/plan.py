"""A sweep as the list of its runs, as far as they are known."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

import playground as pg
from search.audit import Audit
from search.job import Job, Jobs
from search.match import Matched, matched
from search.tune import Tuned, tuned, with_values


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep's runs, the baseline's first, and what its report needs.

    Attributes:
        jobs: runs of the comparison; those of a variant that is still tuned are not known yet.
        tuned: variant -> the tuning as far as it is, where the sweep asks for one.
        overrides: variant -> what it changes, key by key, against the baseline.
        task: what the baseline's task says of itself.
        audits: how runs of stacks compare with the same runs alone, once the sweep is done.
        matched: variant -> how its size compares, where the sweep asks for equal sizes.
    """

    name: str
    spec: pg.SweepSpec
    jobs: tuple[Job, ...]
    overrides: Mapping[str, Mapping[str, Any]]
    task: Mapping[str, Any]
    runs: tuple[pg.SweepRun, ...]
    made: Jobs
    matched: Mapping[str, Matched] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    audits: tuple[Audit, ...] = ()

    @property
    def tuning(self) -> list[Job]:
        """The runs that values are chosen by."""
        return [j for found in self.tuned.values() for point in found.points for j in point.jobs]

    @property
    def rounds(self) -> list[list[Job]]:
        """What is trained before what: the grids, what they grew by, then the comparison."""
        found: dict[int, list[Job]] = {}
        for point in (point for variant in self.tuned.values() for point in variant.points):
            found.setdefault(point.round, []).extend(point.jobs)
        return [*(found[i] for i in sorted(found)), list(self.jobs)]

    @property
    def waiting(self) -> int:
        """How many runs of the comparison are not known yet."""
        return len(self.unknown)

    @property
    def unknown(self) -> list[pg.SweepRun]:
        """The runs of the comparison that are not known yet, as they are written."""
        known = {job.variant for job in self.jobs}
        return [run for run in self.runs if run.variant not in known]

    def todo(self, store: pg.RunStore, *, retry: bool = False) -> list[Job]:
        """The runs that have no result yet, each once; with `retry` also those that failed."""
        open_jobs: dict[str, Job] = {}
        for job in (*self.tuning, *self.jobs):
            status = store.status(job.fingerprint)
            if status is None or (retry and status != "ok"):
                open_jobs.setdefault(job.fingerprint, job)
        return list(open_jobs.values())

    def again(self, store: pg.RunStore) -> "SweepPlan":
        """The same sweep by what the store knows now."""
        return self if self.spec.tune is None else _planned(self, store)

    def to_dict(self) -> dict[str, Any]:
        """sweep.json."""
        known = {(job.variant, job.at, job.seed): job.entry for job in self.jobs}
        variants: dict[str, Any] = {}
        for run in self.runs:
            entry = variants.setdefault(
                run.variant,
                {
                    "overrides": dict(self.overrides[run.variant]),
                    "dropped": list(run.dropped),
                    "runs": [],
                },
            )
            unknown = {**({"at": run.at} if run.at else {}), "seed": run.seed, "fingerprint": None}
            entry["runs"].append(known.get((run.variant, run.at, run.seed), unknown))
        report = self.spec.report
        return {
            "name": self.name,
            "spec": pg.to_dict(self.spec),
            "baseline": self.runs[0].variant,
            "variants": variants,
            "task": dict(self.task),
            "matched": {name: asdict(found) for name, found in self.matched.items()},
            "tuned": {name: found.to_dict() for name, found in self.tuned.items()},
            "audits": [found.to_dict() for found in self.audits],
            "select": None if self.spec.tune is None else self.spec.tune.select,
            "report": {
                "metrics": list(report.metrics),
                "test": report.test,
                "correct": report.correct,
                "formats": list(report.formats),
                "x": report.x,
            },
        }


def plan_sweep(spec: pg.SweepSpec, name: str, store: pg.RunStore | None = None) -> SweepPlan:
    """Expand a sweep into runs; reads the data, trains nothing.

    Args:
        spec: the sweep.
        name: what its folder is called, usually the name of its file.
        store: where the results of tuning are looked up; None for none.

    Raises:
        SpecError, DataError: a variant or the data cannot be used.
    """
    runs, sizes = runs_of(spec)
    jobs = Jobs()
    if spec.tune is not None:
        for one in {run.spec.task: run.spec for run in runs}.values():
            jobs.check_test(one, "values would be tuned on it")
    drawn = SweepPlan(
        name=name,
        spec=spec,
        jobs=(),
        overrides=_changes(runs),
        task=jobs.task(runs[0].spec).describe(),
        runs=tuple(runs),
        made=jobs,
        matched=sizes,
    )
    return _planned(drawn, store)


def _planned(plan: SweepPlan, store: pg.RunStore | None) -> SweepPlan:
    """The plan with its jobs: those of the comparison once the values of a variant are chosen."""
    found: dict[str, Tuned] = {}
    jobs: list[Job] = []
    for variant, runs in groupby(plan.runs, lambda run: run.variant):
        places = [list(of_place) for _, of_place in groupby(runs, lambda run: run.at)]
        chosen: Mapping[str, Any] | None = {}
        if plan.spec.tune is not None:
            firsts = [of_place[0] for of_place in places]
            found[variant] = tuned(firsts, plan.spec, plan.made, store)
            chosen = found[variant].chosen
        for of_place in places if chosen is not None else ():
            specs = [with_values(run, chosen) if chosen else run.spec for run in of_place]
            jobs += plan.made.jobs(variant, specs, at=of_place[0].at)
    return replace(plan, jobs=tuple(jobs), tuned=found)


def runs_of(spec: pg.SweepSpec) -> tuple[list[pg.SweepRun], dict[str, Matched]]:
    """A sweep's runs, the baseline's first, their models matched if it asks for that."""
    runs = spec.expand()
    return (runs, {}) if spec.match is None else matched(runs, spec.match)


def _changes(runs: Sequence[pg.SweepRun]) -> dict[str, Mapping[str, Any]]:
    """What each variant has that the baseline has not; a list where it is not one at all places."""
    by_place: dict[str, dict[str, pg.RunSpec]] = {}
    for run in reversed(runs):
        by_place.setdefault(run.at, {})[run.variant] = run.spec
    base = runs[0].variant
    at_places = [overrides(of[base], of) for of in reversed(by_place.values())]
    found: dict[str, Mapping[str, Any]] = {}
    for variant in dict.fromkeys(run.variant for run in runs):
        changes = [at_place[variant] for at_place in at_places]
        keys = dict.fromkeys(key for change in changes for key in change)
        values = {key: [change[key] for change in changes if key in change] for key in keys}
        found[variant] = {
            key: many[0] if all(one == many[0] for one in many) else many
            for key, many in values.items()
        }
    return found


def overrides(base: pg.RunSpec, others: Mapping[str, pg.RunSpec]) -> dict[str, Mapping[str, Any]]:
    """What each has that `base` has not, by dotted key; seeds do not count."""
    before, found = _flat(pg.to_dict(base)), {}
    for variant, other in others.items():
        after = _flat(pg.to_dict(other))
        new = {key: value for key, value in after.items() if before.get(key, _ABSENT) != value}
        new.pop("seed", None)
        found[variant] = {key.removeprefix("model."): value for key, value in new.items()}
    return found


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
