"""A bench's rows as tables, compared with earlier ones, and drawn."""

import json
from pathlib import Path
from typing import Any

import pytest

from playground.errors import PlaygroundError
from playground.report import benched
from playground.report.draw import save
from playground.report.roofline import by_length, figure

PEAKS = {"fp32": {"flops_per_s": 1e11, "bytes_per_s": 1e10, "size": 1024}}
STAMP = {
    "date": "2026-11-26 08:00 UTC",
    "processor": "one",
    "device": "cpu",
    "threads": 2,
    "torch": "2.13.0",
    "peaks": PEAKS,
}


def row(path: str = "eager", ms: float | None = 2.0, **changed: Any) -> dict[str, Any]:
    times = ms and {"median": ms, "p20": 0.9 * ms, "p80": 1.1 * ms, "fastest": ms, "repeats": 5}
    said: dict[str, Any] = {
        "kind": "rule",
        "what": "delta",
        "mode": "forward",
        "shape": {"batch": 2, "length": 64, "heads": 4, "width": 8, "dtype": "fp32"},
        "scale": "default",
        "path": path,
        "times": times,
        "tokens_per_s": ms and 128e3 / ms,
        "gate": {"green": True, "error": 0.25, "relative": 2e-7, "where": "y"},
        "said": "",
        "refused": "",
        "other": "",
        "speedup": 1.0,
        "cost": {"flops": 1e6, "bytes": 1e5},
        "flops_share": 0.005,
        "bytes_share": 0.05,
        "memory": 1 << 20,
        "compile_s": None,
        "graph_breaks": None,
        "ran": {"scan": "chunked eager"},
        "stamp": STAMP,
    }
    return said | changed


TRITON = row(
    "triton",
    None,
    refused="needs CUDA, target is cpu",
    said="cannot run: needs CUDA, target is cpu",
    gate=None,
)
BROKEN = row("compiled", None, said="FAIL: y: 9 times the error allowed")


def test_paths_stand_side_by_side_with_a_reason_in_the_place_of_a_time() -> None:
    rows = [row(), BROKEN, TRITON, row("peer: fla", 1.0)]
    table = benched.side_by_side(rows).to_markdown().splitlines()
    assert "eager, ms | compiled, ms | triton, ms" in table[0]
    assert "fla" not in table[0]
    assert table[2].endswith("2 [1.8, 2.2] x1.00 | FAIL | needs CUDA, target is cpu |")


def test_what_makes_times_doubtful_is_said() -> None:
    mixed = row("compiled", mode="decode", ran={"blocks.0.memory": "chunked eager"})
    (line,) = benched.doubts([row(), mixed, BROKEN, TRITON])
    assert line == "delta decode B2-T64-H4-D8-fp32 compiled: not all of it, memory: chunked eager"
    fine = row("compiled", ran={"scan": "chunked compiled"})
    assert benched.doubts([row(), fine]) == []
    times = {"median": 3.0, "p20": 2.0, "p80": 4.0, "fastest": 1.0, "repeats": 5}
    slow, high = benched.doubts([row(), fine | {"times": times, "flops_share": 1.4}])
    assert slow.startswith("disturbed: 1 of 2 medians are more than 1.5 times their fastest call")
    assert "up to 3.0 times (delta forward B2-T64-H4-D8-fp32 compiled)" in slow
    assert high == "disturbed: 140 % of a matmul peak that was measured too low"


def test_a_failed_row_has_no_number_and_its_reason_below() -> None:
    text = benched.details([row(), BROKEN, TRITON]).to_markdown()
    assert text.count("FAIL") == 1
    failed = next(line for line in text.splitlines() if "FAIL" in line)
    assert failed.replace("|", "").split()[4:] == ["FAIL"]
    assert "triton" not in text
    lines = benched.reasons([BROKEN, TRITON, TRITON])
    assert lines[0].endswith("compiled: FAIL: y: 9 times the error allowed")
    assert lines[1] == "triton cannot run: needs CUDA, target is cpu (2 of the rows)"


def test_numbers_are_those_of_the_row() -> None:
    text = benched.details([row()]).to_markdown()
    for part in ("64,000", "0.5 %", "5 %", "2.0e-07 (25 %)", "1.0", "scan: chunked eager"):
        assert part in text


def test_layers_that_ran_alike_stand_together() -> None:
    ran = {"blocks.0.memory": "chunked", "blocks.1.memory": "chunked", "blocks.1.attention": "sdpa"}
    assert benched.forms(ran) == "memory: chunked x 2; attention: sdpa"


def test_a_row_moved_if_its_spread_lies_beside_the_earlier_one() -> None:
    earlier = [row(ms=2.0), row("compiled", 2.0), row("gone", 1.0), TRITON]
    now = [row(ms=3.0), row("compiled", 2.1), row("new", 1.0), TRITON]
    lines = benched.comparison(now, earlier).to_markdown().splitlines()[2:]
    ends = [[cell.strip() for cell in line.strip("|").split("|")][-2:] for line in lines]
    assert ends == [["1.50", "slower"], ["1.05", ""], ["-", "new"], ["-", "not in this run"]]
    lines = benched.comparison([row(ms=1.0), BROKEN], earlier).to_markdown().splitlines()
    assert "| 0.50 | faster |" in lines[2]
    assert "FAIL: y: 9 times the error allowed; before: had a time" in lines[3]
    wider = row(ms=1.0) | {"cost": {"flops": 1.0, "bytes": 2.0}}
    assert "| - | other work" in benched.comparison([wider], earlier).to_markdown()


def test_another_machine_is_named() -> None:
    other = row() | {"stamp": STAMP | {"threads": 8}}
    assert benched.differences([row()], [other]) == ["threads: 8 before, 2 now"]


def test_rows_are_read_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row()) + "\n" + json.dumps(TRITON) + "\n")
    assert benched.load_bench(file) == [row(), TRITON]
    for text, said in (("{}", "no row"), ("no JSON", "no file of rows"), ("", "has no rows")):
        file.write_text(text)
        with pytest.raises(PlaygroundError, match=said):
            benched.load_bench(file)
    with pytest.raises(PlaygroundError, match="no file of rows"):
        benched.load_bench(tmp_path / "none.jsonl")


def test_the_figure_has_a_roof_and_lengths_where_they_differ(tmp_path: Path) -> None:
    longer = row(ms=3.0) | {"shape": row()["shape"] | {"length": 128}}
    drawn = figure([row(), longer, TRITON])
    assert drawn is not None
    assert [axes.get_ylabel() for axes in drawn.axes] == ["FLOP/s", "tokens per second"]
    save(drawn, tmp_path / "roof.png", "png")
    assert (tmp_path / "roof.png").read_bytes()[:4] == b"\x89PNG"
    assert len(by_length([row(), longer])) == 1
    assert len(figure([row()]).axes) == 1
    assert figure([TRITON]) is None
