"""Variants at the places of a grid, each compared with the baseline at its own."""

from typing import Any

import pytest

from playground.report.build import Report
from playground.report.curves import differences
from playground.report.rows import comparison


def test_in_a_grid_a_variant_is_compared_with_the_baseline_at_its_place(empty: Any) -> None:
    numbers = {
        "full": (2.0, 100.0, 10.0),
        "full, kind=recall": (0.5, 100.0, 10.0),
        "gla": (2.2, 100.0, 10.0),
        "gla, kind=recall": (0.4, 100.0, 10.0),
    }
    sweep = empty.costing(numbers)
    found = {v.name: sweep.difference(v) for v in sweep.variants}
    assert found["full"] is found["full, kind=recall"] is None
    means = [pair.mean for pair in found.values() if pair is not None]
    assert means == pytest.approx([0.2, -0.1])
    assert set(sweep.tests) == {"gla", "gla, kind=recall"}
    report = Report(sweep=sweep, table=comparison(sweep))
    assert report.markdown().count("| baseline |") == 2
    assert "Compared with it at the same point of the grid, by" in " ".join(report.summary())
    assert "minus that of full at the same point of the grid" in str(report.html())
    figure = differences(sweep)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["gla, kind=recall", "gla"]
