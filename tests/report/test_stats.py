"""Statistics over seeds, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from playground.report.stats import direction, paired, summarize


def pairs(n: int, shift: float = 0.3) -> tuple[dict[int, float], dict[int, float]]:
    rng = np.random.default_rng(n)
    base = rng.standard_normal(n)
    noise = rng.standard_normal(n)
    mine = base + shift + 0.2 * (noise - noise.mean())
    return dict(enumerate(mine.tolist())), dict(enumerate(base.tolist()))


@pytest.mark.parametrize("n", [6, 8, 20])
def test_the_paired_t_test_and_interval_are_those_of_scipy(n: int) -> None:
    mine, base = pairs(n)
    found = paired(mine, base)
    expected = stats.ttest_rel(list(mine.values()), list(base.values()))
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_with_too_few_pairs_there_is_an_interval_but_no_p(n: int) -> None:
    found = paired(*pairs(n))
    assert found is not None and found.p is None
    assert found.low is not None and found.high is not None
    assert found.low < found.mean < found.high


def test_one_pair_gives_a_difference_and_nothing_else() -> None:
    found = paired({4: 1.5}, {4: 1.0})
    assert found is not None
    assert (found.n, found.mean, found.low, found.high, found.p) == (1, 0.5, None, None, None)
    assert found.verdict("test/loss") == "unclear"


def test_only_seeds_that_both_have_are_compared() -> None:
    found = paired({0: 1.0, 1: 2.0, 5: 9.0}, {1: 1.5, 0: 1.0, 2: 7.0})
    assert found is not None
    assert found.each == {0: 0.0, 1: 0.5}
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_equal_differences_have_an_interval_of_no_width() -> None:
    found = paired(dict.fromkeys(range(8), 1.5), dict.fromkeys(range(8), 1.0))
    assert found is not None
    assert (found.low, found.high, found.p) == (0.5, 0.5, 0.0)
    same = paired(dict.fromkeys(range(8), 1.0), dict.fromkeys(range(8), 1.0))
    assert same is not None and same.p == 1.0 and same.verdict("test/loss") == "unclear"


@pytest.mark.parametrize(
    ("metric", "shift", "verdict"),
    [
        ("test/loss", 1.0, "worse"),
        ("test/loss", -1.0, "better"),
        ("test/accuracy", 1.0, "better"),
        ("test/loss", 0.0, "unclear"),
        ("test/unheard_of", 1.0, "unclear"),
    ],
)
def test_a_verdict_needs_a_direction_and_an_interval_without_zero(
    metric: str, shift: float, verdict: str
) -> None:
    found = paired(*pairs(8, shift))
    assert found is not None and found.verdict(metric) == verdict


def test_directions_of_the_usual_metrics() -> None:
    assert [direction(name) for name in ("val/bits_per_byte", "tokens_per_s", "x")] == [-1, 1, 0]


def test_a_summary_of_one_value_has_no_spread() -> None:
    one, two = summarize([2.0]), summarize([1.0, 3.0])
    assert one is not None and one.sd is None
    assert two is not None and two.sd == pytest.approx(2**0.5)
    assert summarize([]) is None
