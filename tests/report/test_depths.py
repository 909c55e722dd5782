"""Depth and length: grids from flat scores, one panel per variant."""

from pathlib import Path
from typing import Any

import numpy as np

from playground.report.build import build, write
from playground.report.depths import grid_of, heatmaps
from playground.report.stats import direction

SCORES = {
    "test/loss": 0.1,
    "test/solved@512": 0.9,
    "test/solved@512/d10": 0.8,
    "test/solved@512/d90": 1.0,
    "test/solved@4096/d90": 0.5,
    "val/solved@512/d10": 0.3,
}


def test_a_grid_has_every_length_and_depth_and_says_where_it_knows_nothing() -> None:
    grid = grid_of(SCORES)
    assert grid is not None
    assert grid.lengths == (512, 4096)
    assert grid.depths == (10, 90)
    np.testing.assert_equal(grid.share, [[0.8, np.nan], [1.0, 0.5]])
    assert grid_of({"test/loss": 1.0, "test/solved@512": 0.9}) is None


def test_a_report_draws_the_mean_of_a_variants_runs(empty: Any, tmp_path: Path) -> None:
    for seed, share in ((0, 0.2), (1, 0.6)):
        metrics = {**SCORES, "test/solved@4096/d10": share}
        empty.finish(empty.plan("full", seed), 2.0, metrics=metrics)
    empty.finish(empty.plan("other", 0, depth=3), 2.1)
    empty.save()
    report = build(empty.sweep, empty.runs)
    figure = heatmaps(report.sweep)
    assert figure is not None
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["80", "40", "100", "50"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["512", "4K"]
    assert "Depth and length" in report.html()
    assert (tmp_path / "depths.svg") in write(report, tmp_path, ["svg"])


def test_a_sweep_without_such_scores_has_no_figure(empty: Any) -> None:
    empty.finish(empty.plan("full", 0), 2.0)
    empty.save()
    report = build(empty.sweep, empty.runs)
    assert heatmaps(report.sweep) is None
    assert "Depth and length" not in report.html()


def test_a_score_at_a_length_is_as_good_as_the_score_itself() -> None:
    assert direction("test/solved@4096") == direction("test/solved") == 1
    assert direction("test/loss@4096") == -1
