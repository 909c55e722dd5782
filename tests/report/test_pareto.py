"""Quality over cost: what no other beats on every side."""

from typing import Any

import pytest

from playground.report.build import build
from playground.report.draw import PAPER
from playground.report.pareto import pareto, places, undominated
from playground.report.rows import crossed


def test_undominated_by_hand() -> None:
    points = [(1, 3), (2, 2), (3, 1), (3, 3), (2, 2)]
    assert undominated(points) == [True, True, True, False, True]
    assert undominated([(1, 1), (1, 2)]) == [True, False]


def test_the_front_counts_quality_speed_and_state(empty: Any) -> None:
    sweep = empty.costing(
        {
            "full": (2.0, 100.0, 1000.0),
            "worse": (2.1, 100.0, 1000.0),
            "fast": (2.2, 200.0, 1000.0),
            "small": (2.3, 90.0, 10.0),
        },
    )
    cost, found = places(sweep, PAPER)
    assert cost == "tokens_per_s"
    assert [place.front for place in found] == [True, False, True, True]
    assert [place.cost for place in found] == [100.0, 100.0, 200.0, 90.0]
    figure = pareto(sweep)
    assert figure is not None
    rings = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [line.get_xdata()[0] for line in rings] == [100.0, 200.0, 90.0]
    sizes = [line.get_markersize() for line in figure.axes[0].lines if line.get_label()[0] != "_"]
    assert sizes[0] > sizes[3]


def test_runs_trained_together_have_no_speed_so_work_is_the_cost(empty: Any) -> None:
    sweep = empty.costing({"full": (2.0, 100.0, 10.0), "stacked": (2.1, 0.0, 10.0)})
    cost, found = places(sweep, PAPER)
    assert cost == "flops_per_token"
    assert [place.cost for place in found] == pytest.approx([1e7, 1e3])
    assert [place.front for place in found] == [True, True]


def test_higher_may_be_better(empty: Any) -> None:
    report = {"metrics": ["tokens_per_s"], "formats": ["md"]}
    sweep = empty.costing({"full": (2.0, 100.0, 10.0), "slow": (2.0, 50.0, 10.0)}, report=report)
    assert [place.front for place in places(sweep, PAPER)[1]] == [True, False]


def test_quality_may_be_drawn_over_the_state(empty: Any) -> None:
    numbers = {"full": (2.0, 100.0, 4096.0), "small": (2.1, 50.0, 512.0), "bad": (2.2, 1e3, 4096.0)}
    report = {"metrics": ["test/loss"], "formats": ["md"], "x": "state_bytes"}
    sweep = empty.costing(numbers, report=report)
    cost, found = places(sweep, PAPER)
    assert cost == "state_bytes"
    assert [place.cost for place in found] == [4096.0, 512.0, 4096.0]
    assert [place.front for place in found] == [True, True, False]
    figure = pareto(sweep)
    assert figure is not None
    assert "state" in figure.axes[0].get_xlabel()
    assert figure.axes[0].xaxis.get_major_formatter()(4096.0) == "4 KiB"


def test_one_place_is_no_figure(empty: Any) -> None:
    empty.finish(empty.plan("full", 0), 2.0)
    empty.plan("other", 0, depth=3)
    empty.save()
    assert pareto(build(empty.sweep, empty.runs).sweep) is None


def test_a_variant_at_the_places_of_a_grid_is_one_line(empty: Any) -> None:
    numbers = {
        "full": (2.0, 100.0, 4096.0),
        "full, heads=4": (2.1, 100.0, 1024.0),
        "gla": (2.2, 100.0, 4096.0),
        "gla, heads=4": (2.4, 100.0, 1024.0),
    }
    report = {"metrics": ["test/loss"], "formats": ["md"], "x": "state_bytes"}
    sweep = empty.costing(numbers, report=report)
    assert [place.label for place in places(sweep, PAPER)[1]] == ["full", "full", "gla", "gla"]
    figure = pareto(sweep)
    assert figure is not None
    at = pytest.approx([1024.0, 4096.0], rel=0.02)
    joined = [line for line in figure.axes[0].lines if list(line.get_xdata()) == at]
    left, right = (list(line.get_xdata()) for line in joined)
    assert left[0] < 1024.0 < right[0]  # else the second would hide the first
    assert [list(line.get_ydata()) for line in joined] == [
        pytest.approx([2.105, 2.005]),
        pytest.approx([2.405, 2.205]),
    ]
    table = crossed(sweep, "heads=1")
    assert table is not None
    assert [column.title for column in table.columns] == ["test/loss", "heads=1", "heads=4"]
    assert [[cell.text[:6] for cell in row] for row in table.rows] == [
        ["full", "2.0050", "2.1050"],
        ["gla", "2.2050", "2.4050"],
    ]


def test_an_interval_of_two_runs_does_not_press_the_figure_flat(empty: Any) -> None:
    sweep = empty.costing({"full": (2.0, 100.0, 10.0), "other": (2.2, 90.0, 10.0)})
    figure = pareto(sweep)
    assert figure is not None
    low, high = figure.axes[0].get_ylim()  # runs are from 2.0 to 2.21, intervals .06 wider
    assert 1.95 < low < 2.0
    assert 2.21 < high < 2.26
    assert crossed(sweep, "none") is None
