"""One arm of a search: a sampler that is asked for candidates and told what they were worth.

All of it is a function of the spec and of results: asked again with the same answers it proposes
the same candidates, so a search that was stopped goes on without a memory of its own.
"""

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import playground as pg
from search.space import Space, Values
from search.static import Costs, Rejected, Static

ASKS = 40  # per candidate that is wanted, before the space counts as empty


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A point of the space that passed the first rung.

    Attributes:
        number: in its arm, from 0.
        spec: the run that the base becomes.
    """

    arm: str
    number: int
    values: Values
    spec: pg.RunSpec
    costs: Costs

    @property
    def name(self) -> str:
        """Unique in the search."""
        return f"{self.arm} {self.number}"


class Arm:
    """Proposes candidates, none twice.

    Args:
        name: which sampler: nsga2, tpe, random, or grid (all of the space, in order).
        spec: the search.
        static: the first rung.
    """

    def __init__(self, name: str, spec: pg.SearchSpec, static: Static) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name, self._spec, self._static = name, spec, static
        self._space, self._base = Space(spec.space), spec.first()
        self._study = optuna.create_study(
            directions=[_LONG[way] for way in spec.objectives.values()],
            sampler=_sampler(name, spec, self._space),
        )
        self._grid = self._space.every()
        points, trials = self._space.size(), spec.sampler.trials
        if name == "grid" and points > trials:
            problem = f"{trials} are fewer than the {points:.0f} points of the grid."
            fix = f"Write {points:.0f}, or sample them with kind: random."
            raise pg.SpecError("sampler.trials", problem, fix=fix)
        self._asked: dict[str, Any] = {}  # candidate -> optuna's trial
        self._seen: set[str] = set()
        self.rejected: Counter[str] = Counter()

    def propose(self, count: int) -> list[Candidate]:
        """So many new candidates, or as many as are found."""
        from optuna.trial import TrialState

        found: list[Candidate] = []
        for _ in itertools.count() if self.name == "grid" else range(ASKS * count):
            if len(found) == count or len(self._seen) >= self._space.size():
                break
            if self.name == "grid":
                genes = next(self._grid, None)
                if genes is None:
                    break
                self._study.enqueue_trial(genes)
            trial = self._study.ask(self._space.distributions())
            values = self._space.values(trial.params)
            candidate = self._candidate(values)
            if candidate is None:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            self._asked[candidate.name] = trial
            found.append(candidate)
        return found

    def _candidate(self, values: Values) -> Candidate | None:
        """The candidate of these values; None for one that is known or not allowed."""
        values = pg.fitting(self._base, values)
        if repr(values) in self._seen:
            return None
        self._seen.add(repr(values))
        try:
            spec = pg.override(self._base, values)
            costs = self._static.costs(spec)
        except pg.SpecError as error:
            self.rejected[f"{error.path}: {error.problem}"] += 1
            return None
        except Rejected as why:
            self.rejected[str(why)] += 1
            return None
        number = len(self._asked)
        return Candidate(arm=self.name, number=number, values=values, spec=spec, costs=costs)

    def tell(self, candidate: Candidate, quality: float | None) -> None:
        """What training it showed; None or NaN if it failed."""
        from optuna.trial import TrialState

        trial = self._asked[candidate.name]
        if quality is None or not math.isfinite(quality):
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, objectives_of(candidate, self._spec, quality))


_LONG: Mapping[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}


def objectives_of(
    candidate: Candidate, spec: pg.SearchSpec, quality: float | None
) -> Sequence[float]:
    """Its objectives in the order of the spec."""
    known: Mapping[str, float] = candidate.costs
    worst = math.nan if quality is None else quality
    return [worst if name == spec.quality else known[name] for name in spec.objectives]


def _sampler(name: str, spec: pg.SearchSpec, space: Space) -> Any:
    from optuna import samplers

    seed, size = spec.sampler.seed, spec.sampler.population
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna calls some of these experimental
        if name == "nsga2":
            return samplers.NSGAIISampler(population_size=max(2, size), seed=seed)
        if name == "tpe":
            return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        return samplers.RandomSampler(seed=seed + 1)
