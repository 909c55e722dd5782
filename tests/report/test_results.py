"""The page of results: a pure function of its description and the records, and fresh."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground.cli.results import DESCRIPTION, PAGE, RECORDS, page_of
from playground.errors import DataError, SpecError
from playground.report.collect import short
from playground.report.page import Experiment, Page, load_page
from playground.report.records import Record, read_record, read_records
from playground.report.results import render
from playground.spec import RunSpec, SweepSpec, convert, load

ROOT = Path(__file__).parents[2]
STALE = "stale: run `playground results`"


def run(seed: int, value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """A record's entry."""
    made: dict[str, Any] = {"seed": seed, "wall_s": 90.0, "params": 1200, "date": "2026-01-02"}
    if value is None:
        return made | {"status": "failed", "reason": "NaN at step 3"} | more
    return made | {"metrics": {"test/accuracy": value}} | more


def page(**fields: Any) -> Page:
    """A page of one section."""
    shown = [{"metric": "test/accuracy", "title": "accuracy", "scale": 100, "decimals": 1}]
    one = {"title": "Task", "about": "What it is.", "shown": shown}
    one["experiments"] = {"one": {"spec": "specs/tasks/one.yaml", "title": "Ours"}}
    return convert(Page, {"title": "R", "about": "A.", "sections": [one | fields]})


def record(*runs: dict[str, Any], **more: Any) -> dict[str, Record]:
    return {"one": Record(name="one", command="playground train x", runs=runs, **more)}


def test_the_committed_page_is_fresh() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page_of(ROOT), STALE


def test_every_spec_of_the_page_is_there() -> None:
    named = {one.spec for one in load_page(ROOT / DESCRIPTION).experiments().values() if one.spec}
    assert not {spec for spec in named if not (ROOT / spec).is_file()}


def test_every_record_is_of_the_spec_as_it_is_or_says_why_not() -> None:
    experiments = load_page(ROOT / DESCRIPTION).experiments()
    records = read_records(ROOT / RECORDS)
    assert set(records) <= set(experiments)
    for name, found in records.items():
        one = experiments[name]
        if found.by_hand or found.rows or one.earlier:
            continue
        spec = load(ROOT / one.spec, *one.words)
        assert isinstance(spec, RunSpec | SweepSpec)
        now = short(spec)
        assert convert(type(spec), found.spec) == convert(type(spec), now), (
            f"{name}: {one.spec} has changed; run it again, or say `earlier: why`"
        )


def test_records_name_no_folder_of_any_machine() -> None:
    for file in (ROOT / RECORDS).glob("*.json"):
        assert '"/' not in file.read_text(encoding="utf-8"), file


def test_an_experiment_without_a_record_shows_its_command() -> None:
    text = render(page(asked=[{"of": "one", "metric": "test/accuracy", "least": 0.9}]), {})
    assert "| Ours | not run yet | - |" in text
    assert "- one: `playground train specs/tasks/one.yaml`, seeds 0, 1, 2: not run yet" in text
    assert "bar: Ours, accuracy at least 90.0: **not run yet**" in text


def test_runs_are_a_mean_with_spread_and_interval_and_failures_are_told() -> None:
    text = render(page(), record(run(0, 0.4), run(1, 0.5), run(2, 0.6), run(3, None)))
    assert "| Ours | 3, 1 failed | 50.0 \u00b1 10.0 [25.2, 74.8] |" in text
    assert "failed: seed 3, NaN at step 3" in text
    assert "| Ours | 1 | 40.0 |" in render(page(), record(run(0, 0.4)))


def test_a_bar_is_met_by_the_mean_or_is_not() -> None:
    bars = [
        {"of": "one", "metric": "test/accuracy", "least": 0.5},
        {"of": "one", "metric": "test/accuracy", "least": 0.51, "why": "a floor"},
        {"of": "one", "metric": "wall_s", "most": 60},
        {"of": "one", "metric": "test/accuracy", "over": "params", "most": 1.0},
    ]
    text = render(page(asked=bars), record(run(0, 0.4), run(1, 0.5), run(2, 0.6)))
    assert "accuracy at least 50.0: **met, inside the 95 % interval**, 50.0" in text
    assert "accuracy at least 51.0 (a floor): **not met, inside the 95 % interval**, 50.0" in text
    assert "wall_s at most 1:00: **not met**, 1:30" in text
    assert "accuracy / params at most 1.000: **met**, 0.000" in text
    kept = [{"of": "one", "metric": "wall_s", "over": "test/accuracy", "least": 0.9}]
    for last, reached in ((0.0, "3 of 3 of nothing**"), (0.5, "2 of 3 of nothing**, 180.000")):
        text = render(page(asked=kept), record(run(0, 0.0), run(1, 0.0), run(2, last)))
        assert f"at least 0.900: **not met, {reached}\n" in text


def test_a_ratio_is_taken_seed_by_seed_and_has_an_interval() -> None:
    kept = [{"of": "one", "metric": "wall_s", "over": "test/accuracy", "least": 1.75}]
    runs = [run(0, 1.0, wall_s=1.0), run(1, 0.5, wall_s=1.0), run(2, 0.5, wall_s=1.5)]
    text = render(page(asked=kept), record(*runs))  # 1, 2 and 3; the means have 1.75 between them
    assert "at least 1.750: **met, inside the 95 % interval**, 2.000" in text


def test_a_bar_that_was_missed_by_less_than_a_digit_shows_it() -> None:
    bars = [{"of": "one", "metric": "test/accuracy", "most": 0.5}]
    text = render(page(asked=bars), record(run(0, 0.50004)))
    assert "at most 50.0: **not met, 1 of 3 samples run**, 50.004" in text
    costs = [{"of": "one", "metric": "wall_s", "most": 60}]
    costs += [{"of": "one", "metric": "params", "most": 1e6}]
    text = render(page(asked=costs), record(run(0, 0.5, wall_s=60.3, params=1_000_400)))
    assert "at most 1:00: **not met, 1 of 3 samples run**, 60.3 s" in text
    assert "at most 1M: **not met, 1 of 3 samples run**, 1,000,400" in text


def test_a_bar_is_of_runs_or_of_a_command() -> None:
    with pytest.raises(SpecError, match=r"asked\.0\.of.*no run and no command"):
        page(
            experiments={"one": {"spec": "specs/sweeps/x.yaml"}},
            asked=[{"of": "one", "metric": "test/accuracy", "least": 0.5}],
        )


def test_a_line_has_the_command_of_its_record() -> None:
    made = page(experiments={"one": {"spec": "specs/tasks/one.yaml", "words": ["a=2"]}})
    assert "`playground train x`, seed 0" in render(made, record(run(0, 0.4)))
    assert "`playground train specs/tasks/one.yaml a=2`" in render(made, {})


def test_findings_come_first_and_all_bars_last() -> None:
    found = page(asked=[{"of": "one", "metric": "test/accuracy", "least": 0.5}])
    text = render(replace(found, findings="What it says."), record(run(0, 0.4)))
    assert text.index("What it says.") < text.index("## Task") < text.index("## All bars")
    assert "| Task | Ours, accuracy at least 50.0 | 40.0 |" in text


def test_a_bar_says_how_many_of_its_seeds_and_folds_there_are() -> None:
    bars = [{"of": "one", "metric": "test/accuracy", "least": 0.5}]
    text = render(page(asked=bars), record(run(0, 0.4), run(1, 0.6)))
    assert "**met, 2 of 3 samples run**, 50.0" in text
    folded = {"spec": "specs/tasks/one.yaml", "folds": {"task.fold": [0, 1]}, "seeds": [0]}
    made = page(asked=bars, experiments={"one": folded})
    text = render(made, record(run(0, 0.4, at={"task.fold": 0})))
    assert "**not met, 1 of 2 samples run**, 40.0" in text


def test_a_bar_of_a_command_is_of_its_last_row_beside_that_of_another() -> None:
    command = {"command": "playground eval x", "columns": {"peak_bytes": "peak"}}
    both = {n: command | {"title": n.title()} for n in ("long", "short")}
    bar = {"of": "long", "metric": "peak_bytes", "against": "short", "most": 1.05}
    made = page(experiments=both, asked=[bar])
    rows = {"long": ({"peak_bytes": 1}, {"peak_bytes": 210}), "short": ({"peak_bytes": 200},)}
    found = {n: Record(name=n, command="x", rows=r) for n, r in rows.items()}
    asked = "bar: Long / Short, peak_bytes at most 1.050: "
    assert f"{asked}**met**, 1.050" in render(made, found)
    del found["short"]
    assert f"{asked}**not run yet**" in render(made, found)
    with pytest.raises(SpecError, match=r"asked\.0\.against"):
        page(experiments=both, asked=[bar | {"against": "other"}])


def test_some_of_the_parts_are_no_mean_of_them() -> None:
    one = {"spec": "specs/tasks/one.yaml", "parts": {"task.horizon": [96, 192]}, "title": "Ours"}
    bars = [{"of": "one", "metric": "test/accuracy", "least": 0.1}]
    half = record(run(0, 0.4, at={"task.horizon": 96}))
    text = render(page(experiments={"one": one}, asked=bars), half)
    assert "accuracy at least 10.0: **not run yet**" in text


def test_parts_have_rows_and_a_mean_over_whole_seeds_alone() -> None:
    one = {"spec": "specs/tasks/one.yaml", "parts": {"task.horizon": [96, 192]}, "title": "Ours"}
    runs = [run(0, 0.1, at={"task.horizon": 96}), run(0, 0.3, at={"task.horizon": 192})]
    runs += [run(1, 0.2, at={"task.horizon": 96})]  # its other half is missing
    text = render(page(experiments={"one": one}), record(*runs))
    assert "| Ours, horizon 96 | 2 | 15.0 \u00b1 7.1 |" in text
    assert "| Ours, horizon 192 | 1 | 30.0 |" in text
    assert "| Ours, mean | 1 | 20.0 |" in text
    assert "each with task.horizon=96, 192" in text


def test_folds_are_samples() -> None:
    one = {"spec": "specs/tasks/one.yaml", "folds": {"task.fold": [0, 1]}, "seeds": [0]}
    runs = [run(0, 0.1, at={"task.fold": 0}), run(0, 0.3, at={"task.fold": 1})]
    text = render(page(experiments={"one": one}), record(*runs))
    assert "| one | 2 | 20.0 \u00b1 14.1 |" in text


def test_published_numbers_and_floors_stand_beside_ours() -> None:
    beside = [
        {"what": "Titans", "source": "Table 9", "values": {"test/accuracy": "99.40"}},
        {"what": "chance", "floors": {"test/accuracy": "guess"}},
    ]
    text = render(page(beside=beside), record(run(0, 0.4, floors={"guess": 0.25})))
    assert "| *Titans* (Table 9) | - | 99.40 |" in text
    assert "| *chance* | - | 25.0 |" in text


def test_a_sweep_is_shown_as_its_report_shows_it() -> None:
    variants = {
        name: {"overrides": {}, "runs": [run(s, 0.5 + gain + 0.01 * s * s) for s in range(6)]}
        for name, gain in (("full", 0.0), ("better", 0.2))
    }
    sweep = {"baseline": "full", "metrics": ["test/accuracy"], "test": "paired_t"}
    sweep |= {"correct": "holm", "variants": variants}
    found = Record(name="one", command="playground sweep x", sweep=sweep)
    text = render(page(experiments={"one": {"spec": "specs/sweeps/x.yaml"}}), {"one": found})
    assert "1 better, 0 worse" in text
    assert "- one: `playground sweep x`: " in text
    assert "| better | 6/6 | 0.7917" in text


def test_output_is_a_table_of_the_keys_that_are_asked_for() -> None:
    one: dict[str, Any] = {"command": "playground eval x --json", "title": "A stream"}
    one["columns"] = {"length": "tokens", "speed": "t/s"}
    rows = ({"length": 16384, "speed": 3.25}, {"length": 2097152, "speed": 3.125})
    found = Record(name="one", command="playground eval x --json", rows=rows)
    text = render(page(experiments={"one": one}), {"one": found})
    assert "**A stream.**\n\n| tokens | t/s |" in text
    assert "| 2,097,152 | 3.1250 |" in text


def test_a_wrong_page_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    file = tmp_path / "page.yaml"
    raw = {"title": "R", "about": "A.", "sections": [{"title": "T", "about": "A."}]}
    raw["sections"][0]["asked"] = [{"of": "on", "metric": "test/loss", "most": 1.0}]
    raw["sections"][0]["experiments"] = {"one": {"spec": "specs/x.yaml"}}
    file.write_text(yaml.safe_dump(raw))
    with pytest.raises(SpecError, match=r"sections\.0\.asked\.0\.of.*Did you mean 'one'"):
        load_page(file)
    with pytest.raises(SpecError, match="cannot be read"):
        load_page(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="one of spec and command"):
        Experiment(spec="a.yaml", command="b")
    with pytest.raises(SpecError, match="name of two experiments"):
        convert(Page, {**raw, "sections": [{**raw["sections"][0], "asked": []}] * 2})


def test_a_file_that_is_no_record_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    for wrong in ("{", "[]", '{"name": "one"}', '{"name": "one", "command": "c", "x": 1}'):
        file.write_text(wrong)
        with pytest.raises(DataError, match="no record"):
            read_record(file)
    file.write_text(json.dumps({"name": "two", "command": "c"}))
    with pytest.raises(DataError, match=r"two\.json"):
        read_record(file)


def test_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    one = record(run(0), run(1, None), by_hand="from a log")["one"]
    (tmp_path / "one.json").write_text(one.to_json())
    assert read_records(tmp_path) == {"one": one}
