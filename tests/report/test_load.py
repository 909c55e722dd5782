"""Reading results: whatever happened to a run, it is there, with the reason."""

import json
import math
from typing import Any

import pytest

from playground.errors import DataError
from playground.report.load import load_sweep


def test_the_baseline_comes_first_and_the_others_in_their_order(store: Any) -> None:
    sweep = load_sweep(store.sweep, store.runs)
    names = [variant.name for variant in sweep.variants]
    assert names == ["full", "no-momentum", "no-decay", "mac", "broken", "absent"]
    assert sweep.base.name == sweep.baseline == "full"
    assert sweep.primary == "test/loss"


def test_every_planned_run_is_a_run_with_its_reason(store: Any) -> None:
    sweep = load_sweep(store.sweep, store.runs)
    assert len(list(sweep.runs())) == 18
    problems = {(run.variant, run.seed): run.problem("test/loss") for run in sweep.runs()}
    lost = {key: problem for key, problem in problems.items() if problem}
    assert lost == {
        ("broken", 0): "failed: NaN loss at step 93 in layers.0.memory",
        ("broken", 1): "test/loss is nan",
        ("broken", 2): "missing: not finished: it has no result.json",
        **{("absent", seed): "missing: not started" for seed in (0, 1, 2)},
    }


def test_a_metric_that_was_not_finite_never_counts(empty: Any) -> None:
    for seed, loss in enumerate([1.0, math.nan, math.inf]):
        empty.finish(empty.plan("full", seed), loss)
    folder = empty.plan("full", 3)
    empty.finish(folder, 1.0, metrics={"test/loss": None})
    empty.finish(empty.plan("full", 4), 1.0, metrics={"test/accuracy": 0.5})
    empty.save()
    sweep = load_sweep(empty.sweep, empty.runs)
    assert sweep.base.values("test/loss") == {0: 1.0}
    assert [run.problem("test/loss") for run in sweep.base.runs[1:]] == [
        "test/loss is nan",
        "test/loss is inf",
        "test/loss is nan",
        "it has no test/loss",
    ]


def test_a_run_that_could_not_be_carried_out_has_no_sizes(empty: Any) -> None:
    empty.finish(empty.plan("full", 0), 1.0)
    lost = {"status": "failed", "reason": "killed", "metrics": {}}
    lost |= dict.fromkeys(("params", "state_bytes", "flops_per_token", "tokens"), 0)
    empty.finish(empty.plan("full", 1), 1.0, **lost)
    empty.save()
    good, bad = load_sweep(empty.sweep, empty.runs).base.runs
    assert (good.params, good.tokens) == (1_000_000, 320_000)
    assert (bad.params, bad.state_bytes, bad.flops_per_token) == (None, None, None)
    assert (bad.tokens, bad.wall_s) == (0, 61.0)


def test_a_result_cut_short_is_a_failed_run(empty: Any) -> None:
    folder = empty.plan("full", 0)
    empty.finish(folder, 1.0)
    (folder / "result.json").write_text('{"status": "o')
    empty.save()
    (run,) = load_sweep(empty.sweep, empty.runs).runs()
    assert run.status == "failed"
    assert "result.json cannot be read" in run.reason
    assert run.curve


def test_a_resumed_run_keeps_the_last_row_of_a_step_and_skips_half_a_line(empty: Any) -> None:
    folder = empty.plan("full", 0)
    empty.finish(folder, 1.0)
    again = {"kind": "eval", "split": "val", "step": 200, "tokens": 320_000, "loss": 7.0}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval", "sp\n' + json.dumps(again) + "\n[1, 2]\n")
    empty.save()
    (run,) = load_sweep(empty.sweep, empty.runs).runs()
    assert [row["step"] for row in run.curve] == [20 * i for i in range(1, 11)]
    assert run.curve[-1]["loss"] == 7.0


def test_a_folder_that_is_no_sweep_is_refused(empty: Any) -> None:
    with pytest.raises(DataError, match=r"has no sweep\.json"):
        load_sweep(empty.sweep, empty.runs)
    for text in ("", "[]", '{"variants": {}}', '{"variants": {"a": {}}, "baseline": "a"}'):
        (empty.sweep / "sweep.json").write_text(text)
        with pytest.raises(DataError, match="not the plan of a sweep"):
            load_sweep(empty.sweep, empty.runs)


def test_sweeps_that_are_there_are_offered_for_one_that_is_not(store: Any) -> None:
    store.save()
    with pytest.raises(DataError, match=rf"or name one that is there: {store.sweep.name}\."):
        load_sweep(store.sweep.with_name("nothing"), store.runs)


def test_a_baseline_that_is_no_variant_is_refused(store: Any) -> None:
    store.save(baseline="fulll")
    with pytest.raises(DataError, match=r"'fulll' is none of its variants.*full"):
        load_sweep(store.sweep, store.runs)


def test_report_settings_have_defaults(store: Any) -> None:
    store.save(report={}, task=None)
    sweep = load_sweep(store.sweep, store.runs)
    assert sweep.metrics == ("test/loss",)
    assert sweep.formats == ("md", "html", "csv")
