"""Numbers as a person reads them."""

import math

import pytest

from playground.report import text
from playground.report.audited import audit_line


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
