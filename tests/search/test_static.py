"""What is looked at before a search trains anything: sizes, soundness, speed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import playground as pg
from search import static
from search.static import Rejected, Static, check_sound, tokens_per_s
from tests.search.test_search import PLANTED
from tests.train.small import MEMORY, RUN


def test_limits_hold_as_they_are_now_not_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    monkeypatch.setattr(static, "tokens_per_s", lambda run: float(seen.append(1) or 100))
    file, small = tmp_path / "static.json", {"params": (0.0, 10.0)}
    wide = replace(PLANTED, limits={"params": (0.0, 1e9)})
    with pytest.raises(Rejected, match="params outside"):
        Static(replace(PLANTED, limits=small), file).costs(RUN)
    assert Static(wide, file).costs(RUN)["tokens_per_s"] == 100
    assert Static(wide, file).costs(RUN)["params"] > 10
    assert len(seen) == 1
    with pytest.raises(Rejected, match="params outside"):
        Static(replace(PLANTED, limits=small), file).costs(RUN)
    with pytest.raises(Rejected, match="tokens_per_s outside"):
        Static(replace(PLANTED, limits={"tokens_per_s": (1e3, 1e9)}), file).costs(RUN)


def test_a_sound_model_passes_and_is_timed():
    check_sound(RUN)
    assert tokens_per_s(RUN) > 0


def test_it_is_timed_on_one_thread_by_its_best_step(monkeypatch: pytest.MonkeyPatch):
    """Another program may take a core at any moment: then two threads wait for each other."""
    compiled, threads, ticks = pg.compile, set[int](), iter(range(100))
    lasting = [9.0, 5.0, 2.0, 7.0, 4.0, 3.0]  # the first does not count
    ends = [second for last in lasting for second in (0.0, last)]

    def watched(*args: Any, **more: Any) -> Any:
        threads.add(torch.get_num_threads())
        return compiled(*args, **more)

    monkeypatch.setattr(static.pg, "compile", watched)
    clock = SimpleNamespace(perf_counter=lambda: ends[next(ticks)])
    monkeypatch.setattr(static, "time", clock)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert tokens_per_s(RUN) == RUN.train.batch * RUN.example_length / 2.0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == {1}


def test_a_model_whose_forms_differ_is_rejected(monkeypatch: pytest.MonkeyPatch):
    compiled, seen = pg.compile, []

    def other(*args: Any, **more: Any) -> Any:
        seen.append(1)
        return compiled(*args, **more, seed=len(seen))

    monkeypatch.setattr(static.pg, "compile", other)
    with pytest.raises(Rejected, match="not the recurrence"):
        check_sound(RUN)


@pytest.mark.parametrize("at", [0, 64])
def test_a_leak_behind_the_first_chunk_is_found_too(monkeypatch: pytest.MonkeyPatch, at: int):
    compiled = pg.compile

    class Leaks(torch.nn.Module):
        """From a token on, every output knows the last one."""

        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            logits = self.model(tokens).clone()
            if tokens.shape[1] > at:
                logits[:, at:] += 1e-12 * tokens[:, at:].sum()
            return logits

    monkeypatch.setattr(static.pg, "compile", lambda *a, **more: Leaks(compiled(*a, **more)))
    run = pg.override(replace(RUN, model=MEMORY), {"block.memory.chunk_size": 64})
    with pytest.raises(Rejected, match="not causal"):
        check_sound(run)
