"""Metrics of parts, `accuracy@128x8`, and under overrides, `loss@chunk_size=8`, in every format."""

import csv
import io
import json

import pytest

from playground.report import build, write
from playground.report.curves import curve_metric, overview
from playground.report.pareto import pareto
from playground.report.stats import direction
from tests.report.conftest import Store

METRICS = ("test/accuracy@128x8", "test/solved@4096", "test/loss@chunk_size=8,norm=a_b")


@pytest.fixture
def named(empty: Store) -> Store:
    """Two variants; `higher` has more of the first metric, and more of the last one."""
    for name, gain in (("full", 0.0), ("higher", 0.2)):
        for seed in range(6):
            folder = empty.plan(name, seed, **{"block.memory.x": name})
            noise = 0.01 * (seed % 3) * (1 if gain else -1)
            values = dict.fromkeys(METRICS, 0.5 + gain + noise)
            empty.finish(folder, 2.0, metrics=values | {"test/loss": 2.0})
    return empty


@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("test/accuracy@128x8", 1),
        ("solved@4096", 1),
        ("test/solved@4096/d50", 1),
        ("val/loss@corpus=a/accuracy", -1),
        ("test/mse@96", -1),
        ("accuracy@suite@chunk_size=8", 1),
        ("test/unheard_of@accuracy", 0),
    ],
)
def test_what_stands_behind_the_at_sign_does_not_change_which_end_is_good(
    metric: str, sign: int
) -> None:
    assert direction(metric) == sign


@pytest.mark.parametrize(("first", "verdict"), [(METRICS[0], "1 better"), (METRICS[2], "1 worse")])
def test_a_report_orders_by_the_good_end(named: Store, first: str, verdict: str) -> None:
    named.save(report={"metrics": [first], "formats": ["md"]})
    report = build(named.sweep, named.runs)
    assert f"{verdict}, 0" in report.summary()[2] or f", {verdict}" in report.summary()[2]
    (rest,) = (v for v in report.sweep.foremost(2) if v.name != "full")
    assert rest.name == "higher"


def test_every_format_holds_every_name(named: Store) -> None:
    named.save(report={"metrics": list(METRICS), "formats": ["md", "html", "csv", "tex", "svg"]})
    report = build(named.sweep, named.runs)
    files = {path.name: path for path in write(report, named.sweep)}
    assert {"report.md", "report.html", "report.csv", "runs.csv", "report.tex"} <= set(files)
    assert {"differences.svg", "pareto.svg"} <= set(files)  # val has no curve of the first one
    for name in METRICS:
        for file in ("report.md", "report.html"):
            assert name in files[file].read_text()
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert float(rows[1][f"{METRICS[2]} mean"]) == pytest.approx(0.71)
    assert float(rows[1][f"{METRICS[0]} difference"]) == pytest.approx(0.22)
    runs = list(csv.DictReader(io.StringIO(report.runs_csv())))
    assert float(runs[0][METRICS[1]]) == 0.5
    assert r"test/loss@chunk\_size=8,norm=a\_b" in report.tex()
    assert json.loads(json.dumps(report.runs()))


def test_curves_are_of_the_plain_metric_where_val_has_no_other(named: Store) -> None:
    named.save(report={"metrics": [METRICS[2]], "formats": []})
    sweep = build(named.sweep, named.runs).sweep
    assert curve_metric(sweep) == "loss"
    assert overview(sweep) is not None


def test_no_front_is_drawn_of_a_metric_without_a_good_end(named: Store) -> None:
    named.save(report={"metrics": [METRICS[0]], "formats": []})
    assert pareto(build(named.sweep, named.runs).sweep) is not None
    for folder in named.runs.iterdir():
        result = json.loads((folder / "result.json").read_text())
        result["metrics"]["test/unheard_of"] = 1.0
        (folder / "result.json").write_text(json.dumps(result))
    named.save(report={"metrics": ["test/unheard_of"], "formats": []})
    assert pareto(build(named.sweep, named.runs).sweep) is None
