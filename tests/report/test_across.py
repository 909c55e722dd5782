"""Places such as folds: a seed's score is the mean over them, and each is shown."""

from typing import Any

import pytest

from playground.cli.sweeps import cells_of
from playground.report.build import Report, build
from playground.report.curves import Curve, mean_curve
from playground.report.sweep import Variant

LOSSES = {
    "full": {"task.fold=0": 1.0, "task.fold=1": 3.0},
    "wide": {"task.fold=0": 0.5, "task.fold=1": 2.5},
}
FLOOR = {"task.fold=0": 2.0, "task.fold=1": 4.0}


def finished(empty: Any, seeds: int = 2, without: tuple[str, str, int] | None = None) -> Report:
    """Two variants at two folds; seed 1 has a tenth more."""
    for variant, folds in LOSSES.items():
        for at, loss in folds.items():
            for seed in range(seeds):
                folder = empty.plan(variant, seed)
                run = empty.variants[variant]["runs"][-1]
                run |= {"at": at, "fingerprint": run["fingerprint"][:-1] + at[-1]}
                if (variant, at, seed) != without:
                    folder = folder.with_name(run["fingerprint"])
                    empty.finish(folder, loss + 0.1 * seed, floors={"bigram": FLOOR[at]})
    empty.save()
    return build(empty.sweep, empty.runs)


def test_scores_are_means_over_the_places_and_pairs_are_seeds(empty: Any) -> None:
    report = finished(empty)
    values = [variant.values("test/loss") for variant in report.sweep.variants]
    assert values == [{0: 2.0, 1: pytest.approx(2.1)}, {0: 1.5, 1: pytest.approx(1.6)}]
    pair = report.sweep.difference(report.sweep.variants[1])
    assert pair is not None and pair.n == 2 and pair.mean == pytest.approx(-0.5)
    summary = " ".join(report.summary())
    assert "2 variants with 2 paired seeds; 8 of 8 runs count. A seed's scores" in summary
    assert "means over 2 places: task.fold=0, 1." in summary
    assert "4 of 4 runs below the floor of their place, bigram with a mean of 3.0000" in summary


def test_a_seed_that_lacks_a_place_does_not_count(empty: Any) -> None:
    report = finished(empty, without=("wide", "task.fold=1", 0))
    assert report.sweep.variants[1].values("test/loss") == {1: pytest.approx(1.6)}
    assert report.problems() == ["wide, task.fold=1, seed 0: missing: not started"]
    assert report.table.rows[1][1].text == "3/4"


def curves(wide: Variant) -> list[Curve]:
    """Of the variant, and of each fold alone."""
    found = [mean_curve(one, "loss", "step") for one in (wide, *map(wide.at, FLOOR))]
    return [curve for curve in found if curve is not None]


def test_a_curve_is_over_seeds_and_each_is_the_mean_over_its_places(empty: Any) -> None:
    whole, first, second = curves(finished(empty).sweep.variants[1])
    assert whole.mean == pytest.approx((first.mean + second.mean) / 2)
    assert whole.sd == pytest.approx(0.1 / 2**0.5)  # of seeds, not of folds


def test_the_curve_of_a_seed_that_lacks_a_place_is_left_out(empty: Any) -> None:
    variant = finished(empty, without=("wide", "task.fold=1", 0)).sweep.variants[1]
    ends = [run.curve[-1]["loss"] for run in variant.runs if run.seed == 1]
    whole, *_ = curves(variant)
    assert whole.mean[-1] == pytest.approx(sum(ends) / 2) and not whole.sd.any()


def test_every_place_is_shown_with_its_floors_and_their_mean(empty: Any) -> None:
    report = finished(empty, seeds=1)
    loss, bits = report.places
    assert [column.title for column in loss.columns] == ["task.fold", "0", "1", "mean"]
    assert [[cell.text for cell in row] for row in loss.rows] == [
        ["full", "1.0000", "3.0000", "2.0000"],
        ["wide", "0.5000", "2.5000", "1.5000"],
        ["bigram", "2.0000", "4.0000", "3.0000"],
    ]
    assert [row[0].text for row in bits.rows] == ["full", "wide"]  # floors are in nats
    for text in (report.markdown(), report.html()):
        assert "task.fold" in text and "Places" in text
    assert [run["place"] for run in report.runs()] == [*LOSSES["full"], *LOSSES["wide"]]


def test_an_unfinished_place_changes_no_cost(empty: Any) -> None:
    sizes = {"task.fold=0": 100_000, "task.fold=1": 900_000}
    for variant in ("full", "wide"):
        for at, params in sizes.items():
            folder = empty.plan(variant, 0)
            run = empty.variants[variant]["runs"][-1]
            run |= {"at": at, "fingerprint": run["fingerprint"][:-1] + at[-1]}
            if (variant, at) != ("wide", "task.fold=1"):
                accuracy = {"test/loss": 1.0, "test/accuracy": 1.0}
                empty.finish(folder.with_name(run["fingerprint"]), 1.0, params, metrics=accuracy)
    empty.save()
    report = build(empty.sweep, empty.runs)
    full, wide = (cells_of(row) for row in report.table.rows)
    assert (full["params"], full["params ratio"], full["solved"]) == (500_000, 1.0, 2)
    assert "params" not in wide and wide["params ratio"] == 1.0 and wide["solved"] == 1
    assert (full["whole seeds"], wide["whole seeds"], wide["seeds"]) == (1, 0, 1)
    titles = [column.title for column in report.table.columns]
    assert report.table.rows[0][titles.index("solved")].text.startswith("2/2")


def test_an_unfinished_baseline_is_said_to_lack_places(empty: Any) -> None:
    report = finished(empty, seeds=1, without=("full", "task.fold=1", 0))
    summary = " ".join(report.summary())
    assert "No seed of the baseline full has all its places, so nothing can be compared" in summary


def test_the_floor_beside_a_mean_over_places_is_one_too(empty: Any) -> None:
    report = finished(empty)
    assert cells_of(report.table.rows[0])["bigram floor"] == 3.0
    assert report.sweep.base.runs[0].floors_of("val/loss") == {}  # floors are of the test split


def test_floors_with_other_names_at_other_places_are_the_lowest(empty: Any) -> None:
    for at, floors in {
        "h=1": {"linear": 2.0, "cyclic": 3.0},
        "h=2": {"linear": 5.0, "cyclic": 4.0},
    }.items():
        folder = empty.plan("full", 0)
        run = empty.variants["full"]["runs"][-1]
        run |= {"at": at, "fingerprint": run["fingerprint"][:-1] + at[-1]}
        empty.finish(folder.with_name(run["fingerprint"]), 2.5, floors=floors)
    empty.save()
    report = build(empty.sweep, empty.runs)
    assert report.sweep.floor == ("lowest", 3.0)
    assert "1 of 2 runs below the floor of their place, lowest with a mean of 3.0000" in " ".join(
        report.summary()
    )
    loss = report.places[0]
    assert [column.title for column in loss.columns] == ["h", "1", "2", "mean"]
    assert [row[0].text for row in loss.rows] == ["full", "linear", "cyclic"]


def test_floors_of_another_score_are_told_by_their_ending(empty: Any) -> None:
    floors = {"linear": 0.5, "linear_mae": 0.4, "seasonal_naive_mae": 0.6}
    empty.finish(empty.plan("full", 0), 1.0, floors=floors)
    empty.save()
    (run,) = build(empty.sweep, empty.runs).sweep.runs()
    assert run.floors_of("test/mae") == {"linear": 0.4, "seasonal naive": 0.6}
    assert run.floors_of("test/loss") == {"linear": 0.5}
    assert run.floors_of("test/accuracy") == {} == run.floors_of("test/loss@length=8")


def test_one_variant_alone_is_not_compared(empty: Any) -> None:
    empty.finish(empty.plan("full", 0), 1.0)
    empty.save()
    summary = " ".join(build(empty.sweep, empty.runs).summary())
    assert summary.startswith("1 variant with 1 seed; 1 of 1 runs count.")
    assert "Compared" not in summary
