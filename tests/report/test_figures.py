"""The figures of the page of results: there for every record they are of, and fresh."""

import re
from pathlib import Path
from typing import Any

import pytest

from playground.cli.results import DESCRIPTION, FIGURES, PAGE, RECORDS, draw_figures
from playground.errors import SpecError
from playground.report.figures import figures_of
from playground.report.page import Page, load_page
from playground.report.records import Record, read_records
from playground.report.results import render
from playground.spec import convert

ROOT = Path(__file__).parents[2]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def parts(svg: str) -> tuple[list[str], list[float]]:
    """A drawing as its words and its numbers: coordinates may differ in the last digits, and with
    them the names of markers and clips, which are hashes of them."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # names a version
    svg = re.sub(r"(?<=[\"#])[a-z]+[0-9a-f]{10}\b", "hashed", svg)
    return _NUMBER.split(svg), [float(number) for number in _NUMBER.findall(svg)]


def test_the_committed_figures_are_fresh_and_all_on_the_page(tmp_path: Path) -> None:
    files = draw_figures(ROOT, tmp_path)
    assert files
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    for file in files:
        kept = ROOT / FIGURES / file.name
        assert kept.is_file(), "stale: run `playground results`"
        words, numbers = parts(file.read_text(encoding="utf-8"))
        old_words, old_numbers = parts(kept.read_text(encoding="utf-8"))
        assert words == old_words, f"{file.name} is stale: run `playground results`"
        assert numbers == pytest.approx(old_numbers, abs=1e-3, rel=1e-4), file.name
        assert f"(results/{file.name})" in page


def test_the_page_shows_no_figure_that_cannot_be_drawn() -> None:
    linked = re.findall(r"!\[[^\]]+\]\(results/([\w-]+)\.svg\)", (ROOT / PAGE).read_text("utf-8"))
    drawn = figures_of(load_page(ROOT / DESCRIPTION), read_records(ROOT / RECORDS))
    assert set(linked) == set(drawn)


def page(**fields: Any) -> Page:
    """A page of one section with two experiments."""
    one = {"title": "Task", "about": "What it is."}
    one["experiments"] = {n: {"spec": f"specs/tasks/{n}.yaml"} for n in ("one", "two")}
    return convert(Page, {"title": "R", "about": "A.", "sections": [one | fields]})


def scored(name: str, *shares: float) -> Record:
    """Runs that found so much in the first half of 512 tokens, and everything in the second."""
    runs = tuple(
        {"seed": seed, "metrics": {"test/solved@512/d10": share, "test/solved@512/d90": 1.0}}
        for seed, share in enumerate(shares)
    )
    return Record(name=name, command="playground train x", runs=runs)


def test_needles_have_a_panel_for_each_experiment_with_a_record() -> None:
    drawn = {"kind": "depths", "of": ["one", "two"], "title": "Found"}
    made = page(figures={"needles": drawn})
    assert figures_of(made, {}) == {}
    assert "needles.svg" not in render(made, {})
    records = {"two": scored("two", 0.2, 0.6)}
    (axes,) = figures_of(made, records)["needles"].axes
    assert axes.get_title() == "two"
    assert [text.get_text() for text in axes.texts] == ["40", "100"]
    assert "![Found](results/needles.svg)" in render(made, records)


def test_a_sweep_is_drawn_over_the_cost_that_it_asked_for() -> None:
    def variant(accuracy: float, state: float) -> dict[str, Any]:
        run = {"seed": 0, "metrics": {"test/accuracy": accuracy}, "state_bytes": state}
        return {"runs": [run | {"params": 10, "flops_per_token": 5}]}

    sweep = {"baseline": "delta", "metrics": ["test/accuracy"], "test": "none", "correct": "none"}
    sweep["variants"] = {"delta": variant(0.9, 4096), "delta, heads=4": variant(0.5, 1024)}  # type: ignore[assignment]
    record = Record(name="one", command="playground sweep x", sweep={**sweep, "x": "state_bytes"})
    made = page(figures={"cost": {"kind": "cost", "of": ["one"], "title": "Recall"}})
    (axes,) = figures_of(made, {"one": record})["cost"].axes
    assert "state" in axes.get_xlabel()
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert list(line.get_xdata()) == [1024, 4096]
    assert list(line.get_ydata()) == [0.5, 0.9]


def test_a_stream_has_speed_and_memory() -> None:
    rows = ({"tokens": 1024, "tokens_per_s": 10.0, "peak_bytes": 2**20},)
    record = Record(name="one", command="playground eval x", rows=rows)
    made = page(figures={"long": {"kind": "stream", "of": ["one"], "title": "Long"}})
    titles = [axes.get_title("left") for axes in figures_of(made, {"one": record})["long"].axes]
    assert titles == ["tokens/s", "peak memory, MiB"]


def test_what_cannot_be_drawn_is_not_on_the_page() -> None:
    one = {"kind": "depths", "of": ["one"], "title": "Found"}
    runs = ({"seed": 0, "metrics": {"test/loss": 1.0}},)
    records = {"one": Record(name="one", command="playground train x", runs=runs)}
    for kind in ("depths", "cost", "stream"):
        made = page(figures={"x": one | {"kind": kind}})
        assert figures_of(made, records) == {}
        assert "x.svg" not in render(made, records)


def test_a_figure_of_one_experiment_takes_one() -> None:
    with pytest.raises(SpecError, match="cannot be drawn of 2 experiments"):
        page(figures={"x": {"kind": "cost", "of": ["one", "two"], "title": "T"}})
    with pytest.raises(SpecError, match="cannot be drawn of 0 experiments"):
        page(figures={"x": {"kind": "depths", "of": [], "title": "T"}})


def test_a_figure_of_no_experiment_is_refused() -> None:
    with pytest.raises(SpecError, match="none of the experiments"):
        page(figures={"x": {"kind": "cost", "of": ["three"], "title": "T"}})
