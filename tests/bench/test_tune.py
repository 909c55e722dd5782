"""Tuning: only on a GPU; wrong and broken candidates are never the best."""

from importlib import import_module

import pytest

from playground.bench import Family, Gate, Times, Tuned, every, tune, tune_families
from playground.errors import LoweringError

CANDIDATES = every(block_v=(16, 32), warps=(4, 8))
GREEN = Gate(green=True, error=0.1, where="y")
KEY = {"width": 64, "chunk": 64, "capability": 9}


def family(**changed: object) -> Family:
    said = {
        "kernel": "reads_fwd",
        "key": KEY,
        "candidates": CANDIDATES,
        "start": lambda config: lambda: None,
        "check": lambda config: GREEN,
    }
    return Family(**(said | changed))


def test_every_combination_is_a_candidate() -> None:
    assert len(CANDIDATES) == 4
    assert CANDIDATES[1] == {"block_v": 16, "warps": 8}


def test_on_a_cpu_it_says_why_it_cannot() -> None:
    with pytest.raises(LoweringError, match="needs CUDA, target is cpu"):
        tune_families("cpu")
    with pytest.raises(LoweringError, match="needs CUDA, target is cpu"):
        tune(family(), device="cpu")


def test_the_entry_is_that_of_the_fastest() -> None:
    times = {i: Times.of([ms]) for i, ms in ((0, 3.0), (2, 1.0), (3, 2.0))}
    tuned = Tuned(family=family(), times=times, refused={1: "FAIL: y"})
    assert tuned.best == 2
    entry = "('reads_fwd', 64, 64, 9): Config(block_v=32, warps=4),  # 1.0000 ms [1.0000, 1.0000]"
    assert tuned.entry() == f"{entry}, best of 3, 1 refused"
    rows = tuned.as_dict()["candidates"]
    assert [row["best"] for row in rows] == [False, False, True, False]
    assert rows[1]["ms"] is None


def test_wrong_and_broken_candidates_have_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(config: dict[str, int]) -> Gate:
        if config["warps"] == 8 and config["block_v"] == 32:
            raise RuntimeError("out of resource: shared memory")
        return Gate(green=config["block_v"] == 32, error=7.0, where="y")

    module = import_module("playground.bench.tune")  # the package has a function of that name
    monkeypatch.setattr(module, "require_gpu", lambda device: None)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)
    tuned = tune(family(check=check), warmup=0, repeats=1)
    assert set(tuned.times) == {2}
    assert tuned.refused[0] == "FAIL: y: 7 times the error allowed"
    assert "shared memory" in tuned.refused[3]
    none = tune(family(check=lambda config: Gate(green=False, error=2.0, where="y")), repeats=1)
    assert none.best is None
    assert "no candidate runs" in none.entry()
