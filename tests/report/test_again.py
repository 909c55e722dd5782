"""Runs made again are told from the record's, score by score."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest

from playground.report.again import again
from playground.report.records import Record

CLOCK = itertools.count()  # no two runs took the same time


def run(seed: int, loss: float | None, **more: Any) -> dict[str, Any]:
    made = {"seed": seed, "wall_s": next(CLOCK)}
    if loss is None:
        return made | {"status": "failed", "reason": "NaN at step 3"} | more
    return made | {"metrics": {"test/loss": loss, "tokens_per_s": 9.0 * loss}} | more


def record(*runs: dict[str, Any]) -> Record:
    return Record(name="one", command="playground train x", runs=runs)


def test_the_same_scores_are_the_same_whatever_the_speed() -> None:
    old = record(run(0, 1.5), run(1, 1.6))
    slower = {"seed": 1, "wall_s": 9e9, "metrics": {"test/loss": 1.6, "tokens_per_s": 1.0}}
    found = again(old, record(slower, run(2, 1.7)))
    assert (found.runs, found.repeated, found.far, found.where) == (2, 1, 0.0, "")
    assert str(found) == (
        "2 runs, 1 of them again: the record's scores, to the last digit, 1 new to the record"
    )
    assert str(again(None, old)) == "2 runs, 2 new to the record"
    assert str(again(record(run(5, 1.0)), old)) == "2 runs, 2 new to the record"


def test_the_runs_that_a_record_was_made_of_are_no_repetition() -> None:
    old = record(run(0, 1.5), run(1, 1.6))
    found = again(old, record(*old.runs, run(2, 1.7)))
    assert (found.own, found.repeated, found.far) == (2, 0, None)
    assert str(found) == "3 runs, 2 of them the record's own, 1 new to the record"


def test_what_was_computed_otherwise_is_said_where_scores_differ() -> None:
    old = record(*(run(seed, 1.0, replicas=8, machine="CPU, 1 thread") for seed in range(3)))
    new = record(
        run(0, 1.5, replicas=6, machine="CPU, 1 thread"),
        run(1, 1.0, replicas=6, machine="CPU, 2 threads"),
        run(2, 1.0, machine="CPU, 1 thread"),  # of how many is not known
    )
    assert again(old, new).otherwise == (
        "6 trained together for 8 (2 runs)",
        "on CPU, 2 threads for CPU, 1 thread (1 run)",
    )
    assert str(again(old, new)).endswith("(2 runs); on CPU, 2 threads for CPU, 1 thread (1 run)")
    named = record(run(0, 1.5, machine="CPU, 1 thread of Fast One, AVX512"))
    assert again(old, named).otherwise == ()  # it may have been of that processor as well
    same = record(run(0, 1.0, replicas=6))
    assert again(old, same).otherwise == () and again(old, same).far == 0


def test_what_is_no_difference_of_numbers_is_said() -> None:
    scores = {"test/loss": 1.0, "test/loss@8": math.nan, "test/accuracy": 0.5}
    old = record({**run(0, 1.0), "metrics": scores})
    same = again(old, record({**run(0, 1.0), "metrics": scores}))
    assert (same.far, same.changed) == (0.0, ())
    found = again(old, record({**run(0, 1.0), "metrics": {"test/loss": 1.0, "test/loss@8": 2.0}}))
    assert found.changed == (
        "seed 0: test/loss@8 2 for nan",
        "seed 0: test/accuracy none for 0.5",
    )
    assert "to the last digit" not in str(found)


def test_a_record_of_an_earlier_form_of_the_spec_is_called_so() -> None:
    old = replace(record(run(0, 1.0)), spec={"dim": 8})
    assert str(again(old, record(run(0, 2.0)))).endswith("is of an earlier form of the spec")


def test_the_score_that_is_furthest_is_named_with_its_place() -> None:
    old = record(run(0, 1.0, at={"task.fold": 0}), run(0, 2.0, at={"task.fold": 1}))
    new = record(run(0, 1.0, at={"task.fold": 0}), run(0, 2.5, at={"task.fold": 1}))
    found = again(old, new)
    assert found.repeated == 2 and found.far == pytest.approx(0.2)
    assert found.where == "task.fold=1, seed 0: test/loss 2.5 for 2"


def test_runs_of_a_sweep_are_those_of_a_variant_at_a_place() -> None:
    def sweep(loss: float) -> Record:
        runs = [run(0, 1.0, place="task.fold=0"), run(0, loss, place="task.fold=1")]
        return replace(record(), sweep={"variants": {"full": {"runs": runs}}})

    found = again(sweep(2.0), sweep(2.002))
    assert found.repeated == 2 and found.far == pytest.approx(1e-3, rel=1e-2)
    assert found.where.startswith("full, task.fold=1, seed 0")


def test_a_run_that_failed_in_one_of_the_two_is_said() -> None:
    found = again(record(run(0, 1.0), run(1, None)), record(run(0, None), run(1, 1.0)))
    assert found.far is None
    assert found.changed == ("seed 0: NaN at step 3, before ok", "seed 1: ok, before NaN at step 3")
    assert str(found) == "2 runs, 2 of them again; " + "; ".join(found.changed)
