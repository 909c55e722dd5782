"""The verb bench: every spec of the project, small; what it writes, compares and refuses."""

import json
from pathlib import Path

import pytest

from playground.spec import load
from tests.cli.command import call

Capture = pytest.CaptureFixture[str]
SPECS = sorted((Path(__file__).parents[2] / "specs" / "benches").glob("*.yaml"))
SMALL = (
    "paths=[eager, triton]",
    "modes=[forward, decode]",
    "shapes={batch: [1], length: [8], heads: [1], width: [8]}",
    "repeats=2",
    "warmup=0",
    "baseline=eager",
    "peers=[]",
    "device=cpu",
)


@pytest.fixture(autouse=True)
def small_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's peak in a moment; no number is looked at."""
    from playground.bench import peak

    monkeypatch.setitem(peak.SIZES, "cpu", (64,))
    monkeypatch.setitem(peak.COPIED, "cpu", 1 << 16)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_every_bench_of_the_project_runs(spec: Path, tmp_path: Path, capsys: Capture) -> None:
    models = load(spec).models  # pyright: ignore[reportAttributeAccessIssue]
    small = [f"models.{name}.{size}" for name in models for size in ("dim=32", "depth=1")]
    said = call(capsys, "bench", spec, *SMALL, *small, "--out", tmp_path, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert {row["path"] for row in found["rows"]} == {"eager", "triton"}
    for row in found["rows"]:
        assert (row["times"] is None) == (row["path"] == "triton"), row["said"]
    lines, page, drawn = (Path(file) for file in found["files"])
    assert [json.loads(line) for line in lines.read_text().splitlines()] == found["rows"]
    assert "needs CUDA, target is cpu" in page.read_text()
    assert drawn.read_text().startswith("<?xml")


def test_a_bench_is_compared_with_an_earlier_one(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("kind: bench\nrules: [delta, gla]\n")
    words = ("bench", file, *SMALL, "modes=[forward]", "--out", tmp_path)
    first = call(capsys, *words)
    assert first.code == 0, first.err
    (lines,) = (tmp_path / "benches" / "own").glob("*.jsonl")
    said = call(capsys, *words, "rules=[delta]", "--compare", lines)
    assert said.code == 0, said.err
    assert "before, ms" in said.out
    assert "not in this run" in said.out


def test_a_wrong_result_is_a_fail_without_a_time_and_the_exit_code_is_1(
    tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "bench.yaml"
    file.write_text("kind: bench\nrules: [delta]\ncheck: {tolerance: 1e-12}\n")
    said = call(capsys, "bench", file, *SMALL, "--out", tmp_path)
    assert said.code == 1
    assert "FAIL" in said.out
    assert "times the error allowed" in said.out
    assert "tokens/s" in said.out


def test_tuning_on_a_cpu_says_why_it_cannot(tmp_path: Path, capsys: Capture) -> None:
    said = call(capsys, "bench", SPECS[0], "--tune", "device=cpu", "--out", tmp_path)
    assert said.code == 2
    assert "needs CUDA, target is cpu" in said.err


def test_only_benches_are_timed_and_a_missing_file_is_found_before_it(
    tmp_path: Path, capsys: Capture
) -> None:
    model = tmp_path / "m.yaml"
    call(capsys, "new", "titans-lmm", "--to", model)
    assert "Name a bench" in call(capsys, "bench", model).err
    missing = tmp_path / "none.jsonl"
    said = call(capsys, "bench", SPECS[0], "--compare", missing, "--out", tmp_path)
    assert said.code == 2
    assert f"--compare: there is no file {missing}. Benches that were run here lie in" in said.err
    assert not list(tmp_path.glob("benches"))


def test_check_and_cite_take_a_bench(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "bench.yaml"
    file.write_text("kind: bench\nrules: [delta, gla]\n")
    assert "rules: delta, gla" in call(capsys, "check", file).out
    assert call(capsys, "cite", file).out.count("@misc{") == 2
    assert call(capsys, "explain", file).code == 2
