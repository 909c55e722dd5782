"""Numbers as a person reads them."""

import math

import pytest

from playground.report import text
from playground.report.audited import audit_line
from playground.report.draw import PAPER
from playground.report.streams import figure


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"),
        (1.23456, "1.2346"),
        (-123.456, "-123.46"),
        (1234567.0, "1,234,567"),
        (1e30, "1e+30"),
        (-2.5e12, "-2.5e+12"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_as_many_digits_as_say_something(value: float, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [(100, "100"), (512, "512"), (4096, "4K"), (2**21, "2M"), (1500, "1.5k")],
)
def test_lengths_are_in_powers_of_two_where_they_are_one(tokens: float, shown: str) -> None:
    assert text.length(tokens) == shown


def test_the_last_length_of_a_stream_has_a_tick_and_ticks_do_not_touch() -> None:
    marks = [{"tokens": 2.0**i, "tokens_per_s": 1e3, "peak_bytes": 2.0**20} for i in range(10, 22)]
    drawn = figure(marks, {}, PAPER)
    assert drawn is not None
    ticks = sorted(drawn.axes[0].get_xticks())
    assert ticks == [2.0**i for i in (11, 13, 15, 17, 19, 21)]


def test_a_spread_has_the_decimals_of_its_mean_unless_it_is_huge() -> None:
    assert text.spread(1.5, None) == "1.5000"
    assert text.spread(12.5, 0.25) == f"12.50 {text.PLUS_MINUS} 0.25"
    assert text.spread(1e30, 2e30) == f"1e+30 {text.PLUS_MINUS} 2e+30"
    assert text.spread(3.0, 1e12) == f"3.0000 {text.PLUS_MINUS} 1e+12"


def test_audits_say_which_runs_agree_and_which_do_not() -> None:
    some = [{"variant": "a", "seed": i, "steps": 50, "difference": 1e-7} for i in range(8)]
    far = {"variant": "b", "seed": 3, "steps": 50, "difference": 2e-3}
    broken = {"variant": "c", "seed": 0, "steps": 0, "difference": None}
    line = audit_line([*some, far, broken])
    assert line.startswith("Of 10 runs of stacks trained again alone, 8 agree within 1e-05")
    assert "first 50 steps, at most 1e-07 apart (a #0, a #1, " in line
    assert line.endswith("a #5 and 2 more); b #3 is 2e-03 apart; c #0 failed alone.")
