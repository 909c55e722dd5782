"""The whole report in every format, from stores with good, failed and missing runs."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from playground.errors import SpecError
from playground.report import FORMATS, Report, build, curves, write
from playground.report.rows import comparison

NAMES = ("full", "no-momentum", "no-decay", "mac", "broken", "absent")


@pytest.fixture(scope="session")
def report(finished: Any) -> Report:
    return build(finished.sweep, finished.runs)


@pytest.fixture(scope="session")
def page_text(report: Report) -> str:
    return report.html()


def rows(text: str) -> dict[str, dict[str, str]]:
    return {row["variant"]: row for row in csv.DictReader(io.StringIO(text))}


def test_every_variant_is_a_row_also_without_a_run(report: Report) -> None:
    found = rows(report.csv())
    assert tuple(found) == NAMES
    assert [(found[n]["n_ok"], found[n]["n"]) for n in ("full", "broken", "absent")] == [
        ("3", "3"),
        ("0", "3"),
        ("0", "3"),
    ]
    assert found["broken"]["test/loss mean"] == ""


def test_differences_are_paired_by_seed(report: Report) -> None:
    found = rows(report.csv())["no-momentum"]
    assert float(found["test/loss difference"]) == pytest.approx(0.12, abs=0.01)
    # The seeds alone differ by about 0.03: unpaired, the interval would be ten times as wide.
    assert float(found["test/loss high"]) - float(found["test/loss low"]) < 0.05
    assert found["pairs"] == "3" and found["p holm"] == found["sign flip holm"] == ""


def test_few_seeds_print_that_n_is_too_small_and_eight_print_p(report: Report, eight: Any) -> None:
    assert "n too small" in report.markdown()
    lines = build(eight.sweep, eight.runs).markdown().splitlines()
    assert "<0.001" in next(line for line in lines if "no-momentum" in line)


def test_p_is_corrected_unless_the_sweep_asks_for_none_of_it(eight: Any) -> None:
    plan_path = eight.sweep / "sweep.json"
    plan = json.loads(plan_path.read_text())
    seen = {}
    for test, correct in (("paired_t", "holm"), ("paired_t", "none"), ("none", "holm")):
        plan["report"] = {"metrics": ["test/loss"], "test": test, "correct": correct}
        plan_path.write_text(json.dumps(plan))
        seen[test, correct] = build(eight.sweep, eight.runs)
    titles = {key: [c.title for c in found.table.columns] for key, found in seen.items()}
    assert "p (Holm)" in titles["paired_t", "holm"] and "p" in titles["paired_t", "none"]
    assert not {"p", "p (Holm)", "sign flip"} & set(titles["none", "holm"])
    holm = rows(seen["paired_t", "holm"].csv())
    alone = rows(seen["paired_t", "none"].csv())
    for name in set(holm) - {"full"}:
        assert holm[name]["p uncorrected"] == alone[name]["p"]
        if alone[name]["p"]:
            assert float(holm[name]["p holm"]) >= float(alone[name]["p"])


def test_without_a_test_it_is_said_of_how_many_pairs_verdicts_are(empty: Any) -> None:
    report = {"metrics": ["test/loss"], "test": "none"}
    sweep = empty.costing({"full": (2.0, 1.0, 8.0), "other": (2.2, 1.0, 8.0)}, report=report)
    assert sweep.judged_by == "the 95 % interval of each alone (n = 2), without a test"
    one = replace(sweep, variants=tuple(replace(v, runs=v.runs[:1]) for v in sweep.variants))
    said = " ".join(Report(sweep=one, table=comparison(one)).summary())
    assert "Compared with it, one pair each: nothing is told apart." in said
    assert "better" not in said


def test_the_floor_is_printed_and_compared_with(report: Report, store: Any) -> None:
    assert "below bigram 2.4100" in report.markdown()
    assert "yes 3/3" in report.markdown()
    folder = next(store.runs.glob("mac-0*"))
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").unlink()
    folder.rmdir()
    store.finish(folder, 2.6)
    assert "some 2/3" in build(store.sweep, store.runs).markdown()


def test_costs_are_shown_relative_to_the_baseline(report: Report) -> None:
    found = rows(report.csv())
    assert float(found["full"]["params ratio"]) == 1.0
    assert float(found["no-momentum"]["params ratio"]) == pytest.approx(1.22 / 1.08)
    assert "96 KiB" in report.markdown() and "6.4M" in report.markdown()


def test_the_summary_counts_runs_and_verdicts(report: Report, eight: Any) -> None:
    text = " ".join(report.summary())
    assert "6 variants with 3 paired seeds; 12 of 18 runs count" in text
    assert "3 of 3 runs below the bigram floor" in text
    assert "0 better, 0 worse, 3 not told apart. 3 with fewer than 6 pairs" in text
    text = " ".join(build(eight.sweep, eight.runs).summary())
    how = "by the paired t test, corrected for the number of variants: 1 better, 2 worse, 1 not"
    assert f"{how} told apart. 1 with fewer than 6 pairs" in text


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [({}, "unclear"), ({"correct": "none"}, "better"), ({"test": "none"}, "better")],
)
def test_an_interval_without_zero_is_no_verdict_among_many(
    empty: Any, asked: dict[str, str], verdict: str
) -> None:
    noise = [0.0, 0.01, -0.01, 0.012, -0.008, 0.004]  # the first variant alone: p .035
    for seed in range(6):
        empty.finish(empty.plan("full", seed), 1.0 + seed)
        for k in range(10):
            gain = 0.012 if k == 0 else 0.0
            empty.finish(empty.plan(f"v{k}", seed, x=k), 1.0 + seed - gain + noise[(seed + k) % 6])
    empty.save(report={"metrics": ["test/loss"], **asked})
    sweep = build(empty.sweep, empty.runs).sweep
    found = sweep.difference(sweep.variants[1])
    assert found is not None and found.high is not None and found.high < 0
    assert sweep.verdict(sweep.variants[1]) == verdict


def test_runs_that_do_not_count_are_listed_with_their_reason(
    report: Report, page_text: str
) -> None:
    for text in (report.markdown(), page_text, report.runs_csv()):
        assert "NaN loss at step 93 in layers.0.memory" in text
        assert "not started" in text
    statuses = [row["status"] for row in csv.DictReader(io.StringIO(report.runs_csv()))]
    assert (statuses.count("ok"), statuses.count("failed"), statuses.count("missing")) == (13, 1, 4)


def test_runs_of_several_devices_or_precisions_are_told(empty: Any) -> None:
    for seed in range(3):
        empty.finish(empty.plan("full", seed), 1.0 + seed, computed="cpu fp32")
        other = "cuda bf16" if seed == 2 else "cpu fp32"
        empty.finish(empty.plan("mac", seed), 1.1 + seed, computed=other)
    empty.save()
    said = (
        "Runs were computed in 2 ways, and pairs may differ by that: cpu fp32 (5), cuda bf16 (1)."
    )
    assert said in build(empty.sweep, empty.runs).summary()
    assert not [line for line in report_of_one_way(empty) if "ways" in line]


def report_of_one_way(empty: Any) -> list[str]:
    for folder in empty.runs.iterdir():
        file = folder / "result.json"
        file.write_text(file.read_text().replace("cuda bf16", "cpu fp32"))
    return build(empty.sweep, empty.runs).summary()


def test_without_a_baseline_run_nothing_is_compared(empty: Any) -> None:
    empty.plan("full", 0)
    empty.finish(empty.plan("other", 0), 2.0)
    empty.save()
    report = build(empty.sweep, empty.runs)
    assert "nothing can be compared" in report.markdown()
    assert "no pairs" in report.markdown()
    assert "What each change does" not in report.html()


def test_a_sweep_that_never_ran_is_still_a_report(empty: Any) -> None:
    empty.plan("full", 0)
    empty.plan("other", 0)
    empty.save()
    report = build(empty.sweep, empty.runs)
    assert "0 of 2 runs count" in report.html()
    assert rows(report.csv())["other"]["n_ok"] == "0"


def test_accuracy_is_better_when_higher_and_other_floors_are_named(empty: Any) -> None:
    for name, accuracy in (("full", 0.90), ("more", 0.97)):
        for seed in range(6):
            metrics = {"test/accuracy": accuracy + 0.001 * seed, "test/loss": 0.5}
            floors = {"any_value": 8.3, "value_in_context": 1.386}
            empty.finish(empty.plan(name, seed, x=1), 0.5, metrics=metrics, floors=floors)
    empty.save(report={"metrics": ["test/accuracy"]})
    report = build(empty.sweep, empty.runs)
    assert "1 better, 0 worse" in " ".join(report.summary())
    assert "below value in context 1.3860" in report.markdown()


class Page(HTMLParser):
    """Collects tags that are open, ids, and addresses."""

    VOID = ("meta", "br", "path", "use", "rect", "image")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables = 0
        self.svgs = 0
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tables += tag == "table"
        self.svgs += tag == "svg"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_one_file_that_loads_nothing(page_text: str) -> None:
    page = Page(page_text)
    assert page.open == []
    assert page.tables == 2
    # differences, overview, every variant with a curve, quality over cost, timeline
    assert page.svgs == 2 + 4 + 2
    assert all(address.startswith("#") for address in page.addresses)
    assert "<script" not in page_text and "@import" not in page_text
    assert not re.search(r"url\((?!#)", page_text)
    assert len(page_text) < 500_000


def test_the_page_follows_the_theme_of_the_reader(page_text: str) -> None:
    assert "prefers-color-scheme: dark" in page_text and "viewport" in page_text
    assert "#01020" not in page_text
    assert "var(--ink)" in page_text


def test_references_inside_the_page_have_one_target(page_text: str) -> None:
    wanted = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", page_text))
    assert wanted
    for name in wanted:
        assert page_text.count(f'id="{name}"') == 1, name


def test_names_are_escaped_in_every_format(empty: Any) -> None:
    name = "<b>&_$x$ | \\y"
    for variant in ("full", name):
        for seed in (0, 1):
            empty.finish(empty.plan(variant, seed, key=variant), 2.0 + 0.1 * seed)
    empty.save(name=name)
    report = build(empty.sweep, empty.runs)
    assert "<b>&_" not in report.html() and Page(report.html()).open == []
    assert r"\&\_\$x\$ | \textbackslash{}y" in report.tex()
    assert "\\| \\y" in report.markdown()
    assert name in rows(report.csv())


def test_the_terminal_table_leaves_out_what_does_not_fit_and_says_so(report: Report) -> None:
    for width in (80, 120, 250):
        out = io.StringIO()
        Console(width=width, file=out).print(report.rich(width))
        text = out.getvalue()
        assert all(name in text for name in NAMES)
        assert "+0.1222 [" in text and "yes 3/3" in text
        assert ("not shown for lack of width" in text) == (width < 250)


def test_of_very_many_variants_a_terminal_shows_the_best(empty: Any) -> None:
    for number in range(70):
        name = f"v{number:02}" if number else "full"
        empty.finish(empty.plan(name, 0, key=name), 3.0 - 0.01 * number)
    empty.save(name="many")
    report, out = build(empty.sweep, empty.runs), io.StringIO()
    Console(width=250, file=out).print(report.rich(250))
    shown = out.getvalue()
    assert "full" in shown and "v69" in shown and "v11" in shown
    assert "v10" not in shown
    assert "the best 60 of 70 variants" in shown
    assert "v10" in report.markdown()


def test_every_format_is_written_and_named(report: Report, tmp_path: Path) -> None:
    paths = write(report, tmp_path / "out", FORMATS)
    expected = {"report.md", "report.html", "report.csv", "runs.csv", "report.tex"}
    figures = ("differences", "curves", "pareto", "timeline")
    expected |= {f"{figure}.{kind}" for figure in figures for kind in FORMATS[4:]}
    assert {path.name for path in paths} == expected
    assert all(path.stat().st_size > 100 for path in paths)


def test_the_formats_of_the_sweep_are_the_default(store: Any, tmp_path: Path) -> None:
    store.save(report={"formats": ["tex", "csv"]})
    names = {path.name for path in write(build(store.sweep, store.runs), tmp_path / "out")}
    assert names == {"report.tex", "report.csv", "runs.csv"}


def test_an_unknown_format_is_refused_before_anything_is_written(
    report: Report, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=r"'htm' is no format. Did you mean 'html'"):
        write(report, tmp_path / "out", ["md", "htm"])
    assert not (tmp_path / "out").exists()


def test_the_same_files_give_the_same_bytes(finished: Any, page_text: str) -> None:
    assert build(finished.sweep, finished.runs).html() == page_text


def test_importing_the_package_does_not_import_matplotlib_or_torch() -> None:
    code = "import sys, playground.report; print({'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_task_that_is_solved_in_a_jump_shows_how_often_and_when(empty: Any) -> None:
    for seed, (accuracy, first) in enumerate([(1.0, 40), (0.995, 60), (0.3, 99)]):
        folder = empty.plan("full", seed)
        empty.finish(folder, 1.0, metrics={"test/loss": 1.0, "test/accuracy": accuracy})
        lines = [
            {"kind": "eval", "split": "val", "step": step, "accuracy": 0.2 + 0.79 * (step >= first)}
            for step in (20, 40, 60)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    empty.save()
    found = build(empty.sweep, empty.runs)
    assert "2/3 at 50" in found.markdown()
    row = rows(found.csv())["full"]
    assert (row["solved"], row["steps to solve"]) == ("2", "50.0")


def test_a_run_that_failed_has_not_solved_its_task_nor_beaten_a_floor(empty: Any) -> None:
    for seed in range(4):
        folder = empty.plan("full", seed)
        reason = {"status": "failed", "reason": "NaN loss"} if seed > 1 else {}
        empty.finish(folder, 1.0, metrics={"test/loss": 1.0, "test/accuracy": 1.0}, **reason)
    empty.plan("full", 4)  # one that is not over says nothing yet
    empty.save()
    found = build(empty.sweep, empty.runs)
    (row,) = found.table.rows
    shown = [cell.text for cell in row]
    assert "2/4" in shown and "some 2/4" in shown
    assert "2 of 4 runs below the bigram floor" in found.markdown()


def test_a_heading_names_no_floor_that_other_variants_do_not_have(empty: Any) -> None:
    for name, floor in (("full", "any symbol"), ("hard", "any value")):
        for seed in range(2):
            empty.finish(empty.plan(name, seed), 2.5, floors={floor: 3.0})
    empty.save()
    found = build(empty.sweep, empty.runs)
    assert "below its floor" in found.markdown() and "below any" not in found.markdown()
    cells = [cell.text for row in found.table.rows for cell in row]
    assert {"yes 2/2, any symbol 3.0000", "yes 2/2, any value 3.0000"} <= set(cells)


def test_every_run_is_held_to_the_floor_of_its_own_task(empty: Any) -> None:
    for name, floor in (("full", 2.0), ("hard", 4.0)):
        for seed in range(2):
            empty.finish(empty.plan(name, seed), 3.0, floors={"chance": floor})
    empty.save()
    found = build(empty.sweep, empty.runs)
    below = {name: row["runs below floor"] for name, row in rows(found.csv()).items()}
    assert below == {"full": "0", "hard": "2"}
    assert "| below chance |" in found.markdown()
    cells = [cell.text for row in found.table.rows for cell in row]
    assert {"no 0/2, chance 2.0000", "yes 2/2, chance 4.0000"} <= set(cells)
    assert curves.overview(found.sweep) is not None


def test_what_the_model_of_a_variant_has_not_of_the_base_is_said(empty: Any) -> None:
    for name in ("full", "mac"):
        empty.finish(empty.plan(name, 0), 1.0)
    empty.variants["mac"]["dropped"] = ["block.memory.conv"]
    empty.save()
    found = build(empty.sweep, empty.runs)
    assert "its model has no block.memory.conv" in found.markdown()
    assert "its model has no block.memory.conv" in found.html()


def test_a_metric_that_no_run_has_is_named_with_the_nearest_one(empty: Any) -> None:
    empty.finish(empty.plan("full", 0), 2.0)
    empty.save(report={"metrics": ["test/lss"], "formats": ["md"]})
    said = " ".join(build(empty.sweep, empty.runs).summary())
    assert "No run has test/lss, the first of report.metrics; did you mean test/loss?" in said
