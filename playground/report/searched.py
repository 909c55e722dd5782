"""What a search found: the front with intervals, the gain over chance, how far rungs agree.

The front and the picks are chosen by what was known before the last rung; every number shown is of
the last rung, which has seeds of its own and is scored on the test split.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.errors import DataError
from playground.files import read_json
from playground.report import text
from playground.report.audited import audit_line
from playground.report.draw import SERIES, Palette
from playground.report.pareto import SPEED, Place, scatter, undominated
from playground.report.rows import difference_text
from playground.report.stats import CONFIDENCE, Paired, interval, paired
from playground.report.table import Cell, Column, Table
from playground.spec import scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = Mapping[int, float]  # seed -> score; failed runs are left out


@dataclass(frozen=True, kw_only=True)
class Found:
    """A candidate.

    Attributes:
        rungs: scores on val at every rung that it reached.
        test: on the test split, of the last rung; empty if it did not get there.
        planned: seeds of its last rung.
    """

    name: str
    arm: str
    values: Mapping[str, Any]
    costs: Mapping[str, float]
    rungs: tuple[Scores, ...]
    test: Scores
    planned: int

    def mean_test(self) -> float:
        """Mean over seeds; NaN without any."""
        return mean(self.test.values()) if self.test else math.nan


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search and what it left."""

    name: str
    quality: str
    objectives: Mapping[str, str]
    arms: tuple[str, ...]
    rejected: Mapping[str, Mapping[str, int]]
    rungs: tuple[Mapping[str, Any], ...]
    candidates: tuple[Found, ...]
    audits: tuple[Mapping[str, Any], ...] = ()

    @property
    def tested(self) -> str:
        """The name of the quality on the test split."""
        return self.quality.replace("val/", "test/", 1)

    @property
    def _sign(self) -> int:
        return 1 if self.objectives[self.quality] == "max" else -1

    def finalists(self) -> list[Found]:
        """Those with a score on test, the best first."""
        sign = self._sign
        return sorted((c for c in self.candidates if c.test), key=lambda c: -sign * c.mean_test())

    def front(self) -> list[Found]:
        """Finalists that no other beats in every objective, by what was known before the last
        rung: what that rung shows of them is no reason to be here.
        """
        final = self.finalists()
        return list(compress(final, undominated([self._points(c) for c in final])))

    def _points(self, found: Found) -> list[float]:
        """Objectives, smaller is better; the quality is that of before the numbers shown."""
        known = {**found.costs, self.quality: self._before(found)}
        return [known[n] * (1 if way == "min" else -1) for n, way in self.objectives.items()]

    def pick(self, arm: str) -> Found | None:
        """An arm's finalist that was best before the last rung."""
        mine = [c for c in self.finalists() if c.arm == arm]
        return max(mine, key=lambda c: self._sign * self._before(c), default=None)

    def _before(self, found: Found) -> float:
        """The mean on val in the rung before the last, by which finalists became that."""
        scores = found.rungs[max(0, len(self.rungs) - 2)]
        return mean(scores.values()) if scores else -self._sign * math.inf

    def gain(self) -> Paired | None:
        """The first arm's pick minus the control's, on test, by seed; None without a control."""
        if len(self.arms) < 2:
            return None
        mine, control = self.pick(self.arms[0]), self.pick(self.arms[1])
        return None if mine is None or control is None else paired(mine.test, control.test)

    def agreement(self) -> list["Agreement"]:
        """How the ranks of a rung and the next one go together."""
        found = []
        for at in range(len(self.rungs) - 1):
            both = [c for c in self.candidates if len(c.rungs) > at + 1]
            both = [c for c in both if c.rungs[at] and c.rungs[at + 1]]
            first, second = ([mean(c.rungs[i].values()) for c in both] for i in (at, at + 1))
            names = str(self.rungs[at]["name"]), str(self.rungs[at + 1]["name"])
            found.append(_agreement(names, first, second))
        return found

    def summary(self) -> list[str]:
        """A few sentences: how much was looked at, the gain, how far rungs agree."""
        reached = [sum(len(c.rungs) > at for c in self.candidates) for at in range(len(self.rungs))]
        lines = [
            f"{len(self.candidates)} candidates: {self._proposed()}; "
            f"{', '.join(map(str, reached))} reached each rung, {len(self.front())} are the front."
        ]
        for arm, reasons in self.rejected.items():
            if reasons:
                count, most = sum(reasons.values()), max(reasons, key=lambda r: reasons[r])
                lines.append(f"Before training {count} of {arm} were refused, mostly: {most}.")
        gain = self.gain()
        if gain is not None:
            better = "higher" if self._sign > 0 else "lower"
            lines.append(
                f"Gain over an equal budget of chance, {self.arms[0]} minus {self.arms[1]} in "
                f"{self.tested}, of which {better} is better: {difference_text(gain)} over "
                f"{gain.n} seeds ({gain.verdict(self.tested)})."
            )
        lines += [one.sentence() for one in self.agreement()]
        return [*lines, audit_line(self.audits)] if self.audits else lines

    def _proposed(self) -> str:
        """How many of each arm: one may have run out of new ones."""
        counts = {arm: sum(c.arm == arm for c in self.candidates) for arm in self.arms}
        return " and ".join(f"{count} of {arm}" for arm, count in counts.items())

    def table(self) -> Table:
        """The finalists, the best first."""
        fresh = "fresh seeds" if len(self.rungs) > 1 else "seeds, those that the search went by"
        about = "by what was known before the last rung, no finalist beats it in every objective"
        columns = [Column(title="candidate", left=True), Column(title="front", about=about)]
        columns += [
            Column(title=f"{self.tested} [95 %]", about=f"mean over {fresh} with its interval"),
            Column(title="ok", about="runs that count"),
            Column(title="tokens/s", about="forward and backward, measured before training"),
            Column(title="params"),
            Column(title="state", about="bytes that one sequence carries"),
            Column(title="values", left=True, optional=True),
        ]
        front = {c.name for c in self.front()}
        rows = tuple(self._row(c, c.name in front) for c in self.finalists())
        return Table(title=self.name, columns=tuple(columns), rows=rows)

    def _row(self, found: Found, front: bool) -> tuple[Cell, ...]:
        spread = interval(found.test)
        assert spread is not None
        shown = text.number(spread.mean)
        if spread.low is not None and spread.high is not None:
            shown += f" [{text.number(spread.low)}, {text.number(spread.high)}]"
        values = {f"{self.tested} mean": spread.mean, "low": spread.low, "high": spread.high}
        costs = found.costs
        speed, params, state = (costs[k] for k in ("tokens_per_s", "params", "state_bytes"))
        return (
            Cell(text=found.name, values={"candidate": found.name, "arm": found.arm}),
            Cell(text="yes" if front else text.NONE, values={"front": int(front)}),
            Cell(text=shown, values=values, tone="good" if front else ""),
            Cell(text=f"{len(found.test)}/{found.planned}", values={"n_ok": len(found.test)}),
            Cell(text=text.count(speed), values={"tokens_per_s": speed}),
            Cell(text=text.count(params), values={"params": params}),
            Cell(text=text.memory(state), values={"state_bytes": state}),
            Cell(
                text=text.plain(found.values), values={k: str(v) for k, v in found.values.items()}
            ),
        )

    def markdown(self) -> str:
        """The summary, the finalists, and how to read them."""
        notes = [f"- {c.title}: {c.about}." for c in self.table().columns if c.about]
        parts = [f"# {self.name}", " ".join(self.summary()), self.table().to_markdown().rstrip()]
        return "\n\n".join([*parts, "\n".join(notes)]) + "\n"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's rank correlation of two rungs, with a 95 % interval by Fisher's z."""

    rungs: tuple[str, str]
    n: int
    rho: float | None
    low: float | None = None
    high: float | None = None

    def sentence(self) -> str:
        """For a person."""
        start = f"Rank correlation of {self.rungs[0]} and {self.rungs[1]}"
        if self.rho is None:
            return f"{start}: {self.n} candidates are too few."
        ends = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{start}: {self.rho:+.2f}{ends} over {self.n} candidates."


def _agreement(rungs: tuple[str, str], one: Sequence[float], other: Sequence[float]) -> Agreement:
    from scipy import special, stats

    n = len(one)
    if n < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return Agreement(rungs=rungs, n=n, rho=None)
    rho = float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])  # Spearman's
    if n < 4 or abs(rho) == 1:
        return Agreement(rungs=rungs, n=n, rho=rho)
    half = float(special.ndtri(0.5 + CONFIDENCE / 2)) * math.sqrt(1.06 / (n - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-half, half]))
    return Agreement(rungs=rungs, n=n, rho=rho, low=float(low), high=float(high))


def load_search(folder: Path, store: Path) -> Searched:
    """Read search.json and the results it names.

    Raises:
        DataError: there is none, or it is not one.
    """
    path = folder / "search.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        quality, last = str(raw["quality"]), len(raw["rungs"])
        return Searched(
            name=str(raw["name"]),
            quality=quality,
            objectives=raw["objectives"],
            arms=tuple(raw["arms"]),
            rejected=raw["rejected"],
            rungs=tuple(raw["rungs"]),
            candidates=tuple(_found(one, store, quality, last) for one in raw["candidates"]),
            audits=tuple(raw.get("audits") or ()),
        )
    except FileNotFoundError:
        fix = "Give the folder of a search that was carried out."
        raise DataError(str(folder), "it has no search.json.", fix) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"it is not a search ({type(error).__name__}: {error})."
        raise DataError(str(path), problem, "Give the command of the search again.") from error


def _found(raw: Mapping[str, Any], store: Path, quality: str, last: int) -> Found:
    rungs = [_scores(runs, store, quality) for runs in raw["rungs"]]
    there = len(rungs) == last
    tested = quality.replace("val/", "test/", 1)
    return Found(
        name=raw["name"],
        arm=raw["arm"],
        values=raw["values"],
        costs=raw["costs"],
        rungs=tuple(rungs),
        test=_scores(raw["rungs"][-1], store, tested) if there else {},
        planned=len({run["seed"] for run in raw["rungs"][-1]}),
    )


def _scores(runs: Sequence[Mapping[str, Any]], store: Path, metric: str) -> Scores:
    """The mean over a seed's tasks, of seeds of which all runs count."""
    found: dict[int, list[float]] = {int(run["seed"]): [] for run in runs}
    for run in runs:
        found[int(run["seed"])].append(_score(store / run["fingerprint"], metric))
    means = {seed: mean(values) for seed, values in found.items()}
    return {seed: value for seed, value in means.items() if math.isfinite(value)}


def _score(folder: Path, metric: str) -> float:
    """NaN for a run that is not there, has no result or failed."""
    try:
        result = read_json(f"{folder}/result.json")
    except (OSError, ValueError):
        return math.nan
    if result.get("status") != "ok":
        return math.nan
    numbers = {k: v for k, v in (result.get("metrics") or {}).items() if v is not None}
    return float(scored(numbers, metric))


def figure(found: Searched, palette: Palette) -> "Figure":
    """Quality on test over speed, a colour per arm; a ring is the front."""
    front, final = {c.name for c in found.front()}, found.finalists()
    places = [
        Place(
            label=c.arm,
            scores=c.test,
            cost=c.costs[SPEED],
            state=c.costs["state_bytes"],
            color=SERIES[found.arms.index(c.arm) % len(SERIES)],
            front=c.name in front,
        )
        for c in final
    ]
    return scatter(places, SPEED, found.tested, palette)
