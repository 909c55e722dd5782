"""The list of kept runs: what is open or failed is seen first."""

import json
from pathlib import Path

import pytest

from playground.report.status import run_rows
from tests.report.conftest import Store


def test_open_runs_come_first_then_failed_ones_and_all_are_counted(store: Store):
    for folder in store.runs.iterdir():
        (folder / "resolved.json").write_text(json.dumps({"spec": {"seed": 1}}))
    rows, counts = run_rows(store.runs, None)
    assert [row["status"] for row in rows[:2]] == ["open", "failed"]
    assert counts == {"open": 1, "failed": 1, "ok": len(rows) - 2}
    assert rows[0]["step"] == "1/?"
    assert rows[0]["seed"] == 1
    few, same = run_rows(store.runs, 3)
    assert (few, same) == (rows[:3], counts)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"block": {"kind": "mac", "memory": {"kind": "delta"}}, "layers": None}, "mac delta"),
        ({"block": {"kind": "attention", "window_len": None}}, "attention"),
        ({"block": None, "layers": {"pattern": "2C 2M"}}, "2C 2M"),
        ({}, "?"),
    ],
)
def test_a_model_is_called_by_its_block_and_memory(
    store: Store, model: dict[str, object], words: str
):
    for folder in store.runs.iterdir():
        (folder / "resolved.json").write_text(json.dumps({"spec": {"model": model}}))
    assert {row["model"] for row in run_rows(store.runs, None)[0]} == {words}


def test_what_is_no_run_is_not_listed_and_no_store_is_an_empty_one(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.txt").write_text("")
    assert run_rows(tmp_path, None) == run_rows(tmp_path / "none", None) == ([], {})


def test_a_result_that_cannot_be_read_leaves_its_run_open(store: Store):
    folder = store.runs / f"{'full-0'.ljust(64, '0')}"
    (folder / "result.json").write_text("{")
    assert run_rows(store.runs, 1)[0][0]["run"] == "full-0000000"


def test_a_row_says_of_which_sweeps_a_run_is(store: Store, tmp_path: Path):
    of_both, of_none = (f"{name}-0".ljust(64, "0") for name in ("full", "nothing"))
    plans = []
    runs = {"x=1": {"runs": [{"seed": 0, "fingerprint": of_both, "at": "fold=2"}]}}
    for name, plan in (
        ("search", {"rungs": [of_both]}),
        ("broken", of_both),
        ("demo", {"variants": {"open": {"runs": [{"seed": 0, "fingerprint": None}]}} | runs}),
    ):
        (tmp_path / name).mkdir()
        plans.append(tmp_path / name / "plan.json")
        plans[-1].write_text(plan if isinstance(plan, str) else json.dumps(plan))
    rows, _ = run_rows(store.runs, None, plans)
    found = {row["run"]: row["of"] for row in rows}
    assert found[of_both[:12]] == "search; broken; demo: x=1, fold=2"
    assert set(found.values()) == {"search; broken; demo: x=1, fold=2", ""}
    assert of_none[:12] not in found
