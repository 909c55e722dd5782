"""Statistics over seeds, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from playground.report.stats import (
    _drawn_flips,
    corrected,
    correlation,
    direction,
    holm,
    paired,
    sign_flips,
    summarize,
)


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


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1; never below the one before (Holm 1979)
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.02})
    assert found == pytest.approx({"b": 0.04, "d": 0.06, "c": 0.06, "a": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


# Darwin's maize, 15 pairs of plants, crossed less self-fertilised, eighths of an inch: Fisher, The
# Design of Experiments (1935), sections 17 and 21
MAIZE = [49.0, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# hours of sleep that ten patients gained by two drugs: Student, The probable error of a mean (1908)
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)


def test_the_paired_t_test_on_darwins_maize_and_students_sleep() -> None:
    maize = paired(dict(enumerate(MAIZE)), dict.fromkeys(range(15), 0.0))
    assert maize is not None and maize.p == pytest.approx(0.0497, abs=5e-5)  # t = 2.148
    half = maize.mean - maize.low if maize.low is not None else 0.0
    assert maize.mean / (half / 2.145) == pytest.approx(2.148, abs=1e-3)  # 2.145: t of 14 at 5 %
    sleep = paired(*(dict(enumerate(hours)) for hours in SLEEP))
    assert sleep is not None and sleep.p == pytest.approx(0.002833, abs=5e-7)  # t = -4.0621
    found = (sleep.mean, sleep.low, sleep.high)
    assert found == pytest.approx((-1.58, -2.459886, -0.7001142), abs=5e-7)


def test_the_sign_flip_test_on_darwins_maize_and_students_sleep() -> None:
    # 1,726 of the 2^15 ways to choose signs give a sum as far from zero: p = 0.05267
    assert sign_flips([MAIZE]) == pytest.approx([1726 / 2**15], abs=1e-9)
    # no patient slept longer by the first drug, one as long: 2 x 2 of the 2^10 ways
    pairs_of = zip(*SLEEP, strict=True)
    flipped = sign_flips([[one - other for one, other in pairs_of]])
    assert flipped == pytest.approx([4 / 2**10], abs=1e-9)


def test_the_sign_flip_test_speaks_only_where_it_could_be_heard() -> None:
    family = {name: paired(*pairs(8)) for name in "abcdef"}
    found = corrected({name: pair for name, pair in family.items() if pair is not None})
    # six variants of eight pairs: the smallest corrected value is 6 * 2 / 256 = 0.047
    assert all(test.flip is not None and test.p is not None for test in found.values())
    family["g"] = family["a"]  # seven: 0.055
    found = corrected({name: pair for name, pair in family.items() if pair is not None})
    assert all(test.flip is None and test.p is not None for test in found.values())


def simulated(rng: np.random.Generator, effect: float) -> dict[str, float]:
    """The p of a sweep of ten variants and ten seeds, corrected; the first has an effect.

    Runs of one seed share something, as in a sweep, and all differences share the baseline's noise.
    effect: in standard deviations of a difference.
    """
    shared = rng.standard_normal(10)
    values = shared + 0.5 * rng.standard_normal((11, 10))
    values[1] += effect * 0.5 * 2**0.5
    base, *variants = [dict(enumerate(row.tolist())) for row in values]
    family = {str(i): paired(variant, base) for i, variant in enumerate(variants)}
    tests = corrected({name: pair for name, pair in family.items() if pair is not None})
    return {name: test.p for name, test in tests.items() if test.p is not None}


@pytest.mark.parametrize("seed", range(5))
def test_without_effects_false_findings_in_a_sweep_stay_rare(seed: int) -> None:
    """200 sweeps of ten variants and ten pairs, no effect: at most 8.5 % have any finding."""
    rng = np.random.default_rng(seed)
    wrong = sum(min(simulated(rng, 0.0).values()) < 0.05 for _ in range(200))
    assert wrong <= 0.085 * 200, wrong


@pytest.mark.parametrize("seed", range(5))
def test_a_paired_effect_of_two_sd_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = sum(simulated(rng, 2.0)["0"] < 0.05 for _ in range(200))
    assert found >= 0.9 * 200, found


def test_many_pairs_are_flipped_by_drawing_and_give_nearly_the_exact_value():
    rng = np.random.default_rng(3)
    family = [rng.normal(mean, 1.0, 16).tolist() for mean in (0.0, 0.3, 0.6)]
    exact, drawn = sign_flips(family), _drawn_flips(np.array(family))
    assert drawn == pytest.approx(exact, abs=0.01)
    longer = [[*each, 0.1] for each in family]
    mixed = sign_flips([longer[0], family[1], longer[2]])
    assert mixed[1] == exact[1]
    assert [mixed[0], mixed[2]] == [sign_flips([each])[0] for each in (longer[0], longer[2])]
    assert sign_flips([[0.0] * 20, [1.0] * 20]) == pytest.approx([1.0, 0.0], abs=1e-3)


def test_correlation_is_over_shared_seeds_and_none_where_it_says_nothing():
    one = {0: 1.0, 1: 2.0, 2: 4.0, 9: 50.0}
    other = {0: 2.0, 1: 1.0, 2: 5.0, 3: 7.0}
    expected = stats.pearsonr([1.0, 2.0, 4.0], [2.0, 1.0, 5.0]).statistic
    assert correlation(one, other) == pytest.approx(expected)
    assert correlation(one, {0: 1.0, 1: 2.0}) is None
    assert correlation(one, {0: 1.0, 1: 1.0, 2: 1.0}) is None
