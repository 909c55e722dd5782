"""When runs were carried out: bars, lanes, and pauses that are cut short."""

from typing import Any

import pytest

from playground.report.build import build
from playground.report.sweep import Run
from playground.report.timeline import MAX_RUNS, bars, timeline, without_pauses


def run(began: float, ended: float, seed: int = 0) -> Run:
    return Run(
        variant="full", seed=seed, fingerprint=str(seed), status="ok", began=began, ended=ended
    )


def test_runs_that_began_together_are_one_bar_and_lanes_are_used_again() -> None:
    stack = [run(10, 20, seed) for seed in (0, 1, 2)]
    found = bars([run(20, 30, 5), *stack, run(12, 40, 3), run(31, 33, 6)])
    assert [(bar.begin, bar.end, bar.lane, len(bar.runs)) for bar in found] == [
        (10, 20, 0, 3),
        (12, 40, 1, 1),
        (20, 30, 0, 1),
        (31, 33, 0, 1),
    ]


def test_runs_of_which_no_time_is_known_are_left_out() -> None:
    assert bars([run(0, 0), Run(variant="a", seed=1, fingerprint="", status="missing")]) == []


def test_long_pauses_are_cut_short_and_short_ones_are_kept() -> None:
    day = 86_400.0
    found = bars([run(1000, 1100), run(1102, 1200, 1), run(1200 + day, 1300 + day, 2)])
    shown, cuts = without_pauses(found)
    busy = 100 + 98 + 100
    assert [(bar.begin, bar.end) for bar in shown[:2]] == [(0, 100), (102, 200)]
    assert shown[2].begin == pytest.approx(200 + 0.02 * busy)
    assert shown[2].end - shown[2].begin == pytest.approx(100)
    assert [pause for _, pause in cuts] == [day]
    assert 200 < cuts[0][0] < shown[2].begin


def test_tuning_is_part_of_it_and_failures_are_marked(empty: Any) -> None:
    for seed in (0, 1):
        empty.finish(empty.plan("full", seed), 2.0, began=100.0, ended=160.0)
        empty.finish(empty.plan("other", seed, depth=3), 2.1, began=161.0 + seed, ended=200.0)
    tried = empty.plan("tuned only", 7)
    empty.finish(tried, 2.5, began=10.0, ended=90.0, status="failed")
    empty.variants.pop("tuned only")
    runs = [{"seed": 7, "fingerprint": tried.name}]
    point = {"values": {"train.optim.lr": 0.1}, "score": 2.5, "runs": runs}
    empty.save(tuned={"full": {"points": [point], "chosen": {}, "edges": []}})
    sweep = build(empty.sweep, empty.runs).sweep
    assert [one.status for one in sweep.tuned["full"].runs] == ["failed"]
    figure = timeline(sweep)
    assert figure is not None
    axes = figure.axes[0]
    assert len(axes.patches) == 5
    assert sorted({bar.get_alpha() for bar in axes.patches}) == [0.4, 0.95]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [pytest.approx(80 / 60)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["full", "other"]


def test_a_sweep_of_very_many_runs_has_none(empty: Any) -> None:
    for seed in range(MAX_RUNS):
        empty.plan("full", seed)
    empty.plan("other", 0, depth=3)
    empty.save()
    assert timeline(build(empty.sweep, empty.runs).sweep) is None
