"""Means, spreads and paired differences over seeds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
# Below this many pairs even the exact sign-flip test cannot reach 0.05, so no p is printed.
MIN_PAIRS_FOR_P = 6
TOO_SMALL = "n too small"

_LOWER = frozenset({"loss", "bits_per_byte", "perplexity"})
_HIGHER = frozenset({"accuracy", "solved", "tokens_per_s"})

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
        p: two-sided paired t test, not corrected for the number of variants; None for fewer
            than six pairs.
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
    """1 if higher is better, -1 if lower is, 0 if nobody said."""
    last = metric.rsplit("/", 1)[-1]
    return 1 if last in _HIGHER else -1 if last in _LOWER else 0


def summarize(values: Iterable[float]) -> Summary | None:
    """Mean and spread of finite values; None of none."""
    found = np.array(list(values), np.float64)
    if not len(found):
        return None
    sd = float(found.std(ddof=1)) if len(found) > 1 else None
    return Summary(n=len(found), mean=float(found.mean()), sd=sd)


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
