"""A search from its spec to a folder of results: arms propose, rungs train, the best go on."""

import importlib.util
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import playground as pg
from search.arm import Arm, Candidate, objectives_of
from search.audit import audit
from search.bundle import unfinished
from search.engine import Engine
from search.engines import engine_for
from search.front import best
from search.job import Job, Jobs, blind
from search.pool import Pool, Watch
from search.space import Space
from search.static import Static
from search.suites import at_rung

RUNG_SEEDS = 1000  # between the first seeds of two rungs
Say = Callable[[str], None]


@dataclass(kw_only=True)
class Search:
    """A search and where it is kept.

    Attributes:
        store: results of runs: the truth about what was done.
        folder: for search.json, and for what the first rung measured.
        engine: what carries the runs out.
        retry: whether runs that failed before are tried again.
        watch: told of every run that starts, moves on and ends.
        say: told a sentence now and then.
    """

    name: str
    spec: pg.SearchSpec
    store: pg.RunStore
    folder: Path
    engine: Engine[Any] | None = None
    workers: int | None = None
    retry: bool = False
    watch: Watch = field(default=lambda event: None)
    say: Say = field(default=lambda line: None)

    def run(self) -> dict[str, Any]:
        """Carry out what is left of it; what search.json says.

        Raises:
            SpecError, LoweringError: nothing can run here.
            PlaygroundError: Optuna is an extra that is not installed.
            KeyboardInterrupt: asked to stop; the same call goes on from the checkpoints.
        """
        if importlib.util.find_spec("optuna") is None:
            raise pg.PlaygroundError(
                "Optuna proposes the candidates of a search and is an extra that is not installed "
                "here. Install it: pip install 'test-time-playground[search]'."
            )
        budget(self.spec)  # every rung can be made, before the first costs anything
        self._engine = self.engine or engine_for(self.spec.run)
        self._engine.check(self.spec)
        pg.pick_device(self.spec.device)  # candidates are timed in this process
        self._jobs, self._runs = Jobs(), dict[str, dict[int, list[Job]]]()
        self._looked = set[str]()
        self._jobs.check_test(self.spec.first(), "candidates would be chosen by it")
        static, sampler = Static(self.spec, self.folder / "static.json"), self.spec.sampler
        arms = [Arm(name, self.spec, static) for name in sampler.arms()]
        candidates = self._first_rung(arms)
        on = candidates
        for rung in range(1, len(self.spec.trained)):
            on = [c for arm in arms for c in self._best(arm.name, on, rung - 1)]
            self.say(f"rung {rung + 1} of {len(self.spec.trained)}: {len(on)} candidates")
            self._train(on, rung)
        found = self._told(arms, candidates) | {"audits": self._audited()}
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=2) + "\n"
        (self.folder / "search.json").write_text(text, encoding="utf-8")
        return found

    def _first_rung(self, arms: Sequence[Arm]) -> list[Candidate]:
        """Every arm's candidates, proposed in batches, the arms' batches trained side by side."""
        sampler, found = self.spec.sampler, list[Candidate]()
        for begin in range(0, sampler.trials, sampler.population):
            count = min(sampler.population, sampler.trials - begin)
            batch = [(arm, arm.propose(count)) for arm in arms]
            proposed = [candidate for _, some in batch for candidate in some]
            self.say(f"candidates {begin + 1} to {begin + count} of {sampler.trials} in each arm")
            self._train(proposed, 0)
            for arm, some in batch:
                for candidate in some:
                    arm.tell(candidate, self._quality(candidate, 0))
            found += proposed
        return found

    def _train(self, candidates: Sequence[Candidate], rung: int) -> None:
        """Carry out what is left of a rung's runs."""
        every = []
        for candidate in candidates:
            jobs = self._of(candidate, rung)
            self._runs.setdefault(candidate.name, {})[rung] = jobs
            every += jobs
        todo = [job for job in every if self._open(job)]
        if todo:
            team = self._engine.team(self.spec, len(every), self.workers)
            parts = unfinished(every, todo, self.spec.run.vectorize, team.workers)
            team = self._engine.team(self.spec, len(parts), self.workers)
            Pool(self.store, self._engine, team, self.spec.run, watch=self.watch).run(parts)

    def _open(self, job: Job) -> bool:
        """Whether a run has to be carried out: one that failed, once, if that is asked for."""
        status, known = self.store.status(job.fingerprint), job.fingerprint in self._looked
        self._looked.add(job.fingerprint)
        return status is None or (self.retry and status == "failed" and not known)

    def _audited(self) -> list[dict[str, Any]]:
        """Some runs of its stacks, trained again alone."""
        jobs = [job for rungs in self._runs.values() for some in rungs.values() for job in some]
        folder = self.folder / "audits"
        found = audit(jobs, self.spec, store=self.store, folder=folder, watch=self.watch)
        return [one.to_dict() for one in found]

    def _of(self, candidate: Candidate, rung: int) -> list[Job]:
        """A candidate's runs at a rung, task by task; the last one's seeds begin at 0, and only
        those are scored on the test split."""
        last = rung == len(self.spec.trained) - 1
        first = 0 if last else pg.SEARCH_SEED + rung * RUNG_SEEDS
        seeds = range(first, first + self.spec.trained[rung].seeds)
        tasks = at_rung(candidate.spec, self.spec.trained, rung, seeds)
        if not last:
            tasks = [[blind(spec) for spec in specs] for specs in tasks]
        return [job for specs in tasks for job in self._jobs.jobs(candidate.name, specs)]

    def _quality(self, candidate: Candidate, rung: int) -> float:
        """Mean over the seeds and tasks; NaN if a run failed."""
        results = [
            self.store.run(job.fingerprint).result() for job in self._runs[candidate.name][rung]
        ]
        return mean(
            pg.scored(result.metrics, self.spec.quality)
            if result is not None and result.ok
            else math.nan
            for result in results
        )

    def _best(self, arm: str, among: Sequence[Candidate], rung: int) -> list[Candidate]:
        """An arm's candidates that go on, by all objectives."""
        mine = [candidate for candidate in among if candidate.arm == arm]
        ways = dict(self.spec.objectives)
        order = [self.spec.quality, *(name for name in ways if name != self.spec.quality)]
        points = []
        for candidate in mine:
            quality = self._quality(candidate, rung)
            known = dict(zip(ways, objectives_of(candidate, self.spec, quality), strict=True))
            points.append([known[name] for name in order])
        keep = max(1, round(self.spec.trained[rung].keep * len(mine)))
        chosen = best(points, [ways[name] for name in order], keep)
        return [mine[i] for i in sorted(chosen)]

    def _told(self, arms: Sequence[Arm], candidates: Sequence[Candidate]) -> dict[str, Any]:
        """search.json: what a report needs beside the results."""
        return {
            "name": self.name,
            "quality": self.spec.quality,
            "objectives": dict(self.spec.objectives),
            "arms": [arm.name for arm in arms],
            "rejected": {arm.name: dict(arm.rejected) for arm in arms},
            "space": list(self.spec.space),
            "rungs": [
                {"name": rung.suite or f"rung {i + 1}", "seeds": rung.seeds, "keep": rung.keep}
                for i, rung in enumerate(self.spec.trained)
            ],
            "candidates": [self._entry(candidate) for candidate in candidates],
        }

    def _entry(self, candidate: Candidate) -> Mapping[str, Any]:
        rungs = self._runs[candidate.name]
        return {
            "name": candidate.name,
            "arm": candidate.arm,
            "values": candidate.values,
            "costs": candidate.costs,
            "rungs": [[job.entry for job in rungs[rung]] for rung in sorted(rungs)],
        }


def budget(spec: pg.SearchSpec) -> dict[str, float]:
    """What a search trains at most: candidates there are, arms, candidates of each, runs, tokens.

    Raises:
        SpecError: a rung cannot be made of the base.
    """
    arms, count, runs, tokens = len(spec.sampler.arms()), spec.sampler.trials, 0, 0
    for at, rung in enumerate(spec.trained):
        for (run,) in at_rung(spec.first(), spec.trained, at):
            runs += count * rung.seeds
            tokens += count * rung.seeds * run.training_tokens
        count = max(1, round(rung.keep * count))
    return {
        "space": Space(spec.space).size(),
        "arms": arms,
        "candidates of each arm": spec.sampler.trials,
        "runs": arms * runs,
        "tokens": arms * tokens,
    }
