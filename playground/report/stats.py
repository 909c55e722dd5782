"""Means, spreads and paired differences over seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
# Below this many pairs even the exact sign-flip test cannot reach 0.05, so no p is printed.
MIN_PAIRS_FOR_P = 6
TOO_SMALL = "n too small"
EXACT_PAIRS = 16  # up to so many all sign flips are counted
DRAWS, DRAWN_AT_ONCE = 1 << 16, 1 << 8  # a block of a thousand rows stays in the cache

LOWER = frozenset({"loss", "error", "bits_per_byte", "perplexity", "mse", "mae", "nll"})
HIGHER = frozenset({"accuracy", "solved", "score", "tokens_per_s"})

Verdict = Literal["better", "worse", "unclear"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Mean and sample standard deviation; `sd` is None for fewer than two values."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Differences of one variant to the baseline, seed by seed.

    Attributes:
        n: pairs.
        mean: of variant - baseline.
        low, high: ends of the 95 % t interval of the mean; None for fewer than two pairs.
        p: two-sided paired t test of this variant alone; None for fewer than six pairs.
        each: the differences, by seed.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p: float | None
    each: Mapping[int, float]

    def verdict(self, metric: str) -> Verdict:
        """Better or worse if the interval excludes zero and the metric has a direction."""
        sign = direction(metric)
        if self.low is None or self.high is None or sign == 0 or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if self.mean * sign > 0 else "worse"


def direction(metric: str) -> int:
    """1 if higher is better, -1 if lower is, 0 if nobody said; `accuracy@128x8` is as accuracy."""
    last = base_metric(metric).rsplit("/", 1)[-1]
    return 1 if last in HIGHER else -1 if last in LOWER else 0


def base_metric(metric: str) -> str:
    """The metric without what it was taken of or under: "test/loss" of "test/loss@chunk_size=8"."""
    return metric.partition("@")[0]


def summarize(values: Iterable[float]) -> Summary | None:
    """Mean and spread of finite values; None of none."""
    found = np.array(list(values), np.float64)
    n = len(found)
    if not n:
        return None
    mean = float(found.sum()) / n  # what numpy's mean and std do, at a third of the time for few
    away = found - mean
    sd = math.sqrt(float((away * away).sum()) / (n - 1)) if n > 1 else None
    return Summary(n=n, mean=mean, sd=sd)


def paired(variant: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """Compare by the seeds both have; None if there are none.

    Args:
        variant: seed -> value.
        baseline: seed -> value.
    """
    each = {seed: variant[seed] - baseline[seed] for seed in variant if seed in baseline}
    summary = summarize(each.values())
    if summary is None:
        return None
    n, mean, sd = summary.n, summary.mean, summary.sd
    if sd is None:
        return Paired(n=n, mean=mean, low=None, high=None, p=None, each=each)
    from scipy import special  # a slow import, only needed where there is something to compare

    error = sd / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * error
    if error > 0:
        p = float(2 * special.stdtr(n - 1, -abs(mean) / error))
    else:
        p = 1.0 if mean == 0 else 0.0
    return Paired(
        n=n,
        mean=mean,
        low=mean - half,
        high=mean + half,
        p=p if n >= MIN_PAIRS_FOR_P else None,
        each=each,
    )


def interval(values: Mapping[int, float]) -> Paired | None:
    """Mean of one variant's own values with its interval: paired with zeros."""
    return paired(values, dict.fromkeys(values, 0.0))


def correlation(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Pearson's, over the seeds both have; None for fewer than three or where nothing varies."""
    seeds = sorted(one.keys() & other.keys())
    pairs = np.array([[one[seed], other[seed]] for seed in seeds], np.float64).reshape(-1, 2)
    if len(pairs) < 3 or not pairs.std(0).all():
        return None
    mine, theirs = (pairs - pairs.mean(0)).T
    size = float(np.linalg.norm(mine) * np.linalg.norm(theirs))
    return float(mine @ theirs) / size


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A variant's tests, as a rule corrected for the number of variants compared.

    Attributes:
        p: paired t test, the primary one; None for fewer than six pairs.
        flip: exact sign-flip test; None where its smallest possible value, corrected, is above
            0.05, so that it could not speak whatever the differences are.
    """

    p: float | None
    flip: float | None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Step-down corrected p-values: rejecting those below alpha keeps the chance of any false
    rejection below alpha, however the tests depend on each other (Holm 1979)."""
    found: dict[str, float] = {}
    highest, left = 0.0, len(p_values)
    for name in sorted(p_values, key=lambda name: p_values[name]):
        highest = max(highest, min(1.0, left * p_values[name]))
        found[name], left = highest, left - 1
    return found


def sign_flips(family: Sequence[Sequence[float]]) -> list[float]:
    """Two-sided p of each mean difference if every sign were a fair coin.

    Exact up to 16 pairs; beyond, from 65,536 draws with a fixed seed, the same for all that have
    as many pairs.
    """
    drawn: dict[int, list[float]] = {}
    for n in {len(each) for each in family if len(each) > EXACT_PAIRS}:
        drawn[n] = _drawn_flips(np.array([each for each in family if len(each) == n]))
    return [drawn[len(each)].pop(0) if len(each) in drawn else _flip(each) for each in family]


def _flip(differences: Sequence[float]) -> float:
    """The exact test of one."""
    from scipy import stats

    each = np.array(differences, np.float64)
    if not each.any():
        return 1.0
    result = stats.permutation_test(
        (each,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=1 << EXACT_PAIRS,
    )
    return float(result.pvalue)


def _drawn_flips(each: np.ndarray) -> list[float]:
    """Of each row: how many of the draws have a sum as far from zero as it has."""
    rng = np.random.default_rng(0)
    reached, far = np.abs(each.sum(1)) * (1 - 1e-12), np.zeros(len(each))
    for _ in range(DRAWS // DRAWN_AT_ONCE):
        signs = rng.integers(0, 2, (DRAWN_AT_ONCE, each.shape[1]), np.int8) * 2.0 - 1.0
        far += (np.abs(signs @ each.T) >= reached).sum(0)
    return ((far + 1) / (DRAWS + 1)).tolist()


def corrected(family: Mapping[str, Paired], correct: str = "holm") -> dict[str, Tested]:
    """The tests of all variants that were compared with one baseline.

    Args:
        family: variant -> its differences; every variant of the sweep, also those without effect.
        correct: "holm", or "none" for every variant by itself.
    """
    adjust, size = (holm, len(family)) if correct == "holm" else (dict, 1)
    p = adjust({name: found.p for name, found in family.items() if found.p is not None})
    speaking = {
        name: list(found.each.values())
        for name, found in family.items()
        if size * 2.0 ** (1 - found.n) <= 1 - CONFIDENCE
    }
    flip = adjust(dict(zip(speaking, sign_flips(list(speaking.values())), strict=True)))
    return {name: Tested(p=p.get(name), flip=flip.get(name)) for name in family}
