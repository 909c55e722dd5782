"""Runs handed to trackers: what they are told, with stand-ins for their packages."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from playground.errors import PlaygroundError, SpecError
from playground.report.trackers import scalars, send

ROWS = [
    {"kind": "train", "step": 1, "loss": 3.0, "lr": 1e-3},
    {"kind": "eval", "split": "val", "step": 1, "loss": 2.5},
    {"kind": "memory", "step": 1, "layers": [{"decay": 0.5}]},
    {"kind": "note", "text": "taken up again"},
    {"kind": "train", "step": 2, "loss": 2.0, "lr": 1e-3},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / ("ab" * 32)
    folder.mkdir(parents=True)
    (folder / "resolved.json").write_text(json.dumps({"spec": {"seed": 3}}))
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "metrics.jsonl").write_text(lines + '{"kind": "tra')
    return folder


def test_rows_become_named_numbers_and_half_a_line_is_left_out(run: Path):
    assert list(scalars(run / "metrics.jsonl")) == [
        (1, {"train/loss": 3.0, "train/lr": 1e-3}),
        (1, {"val/loss": 2.5}),
        (1, {"memory/layers/0/decay": 0.5}),
        (2, {"train/loss": 2.0, "train/lr": 1e-3}),
    ]


class Told:
    """Stands for a package, its run and its writer: remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **more: Any) -> "Told":
            self.calls.append((name, args, more))
            return self

        return call

    def named(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, more) for called, args, more in self.calls if called == name]


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **has: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(has)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_tracker_that_takes_each_step_once_gets_it_once(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str
):
    told = Told()
    stand_in(monkeypatch, tracker, init=told.init, log=told.log, finish=told.finish)
    assert send(run, tracker, project="p", folder=tmp_path) == 4
    ((_, begun),) = told.named("init")
    assert (begun["project"], begun["config"]) == ("p", {"seed": 3})
    logged = [(args[0], more.get("step", args[0].get("step"))) for args, more in told.named("log")]
    assert [step for _, step in logged] == [1, 2]
    assert logged[0][0]["val/loss"] == 2.5
    assert len(told.named("finish")) == 1


def test_tensorboard_gets_every_number(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = Told()
    stand_in(monkeypatch, "tensorboard")
    writer = SimpleNamespace(SummaryWriter=told.SummaryWriter)
    stand_in(monkeypatch, "torch.utils.tensorboard", **vars(writer))
    send(run, "tensorboard", project="p", folder=tmp_path)
    (((opened,), _),) = told.named("SummaryWriter")
    assert Path(opened) == tmp_path / "p" / run.name[:16]
    assert (("val/loss", 2.5, 1), {}) in told.named("add_scalar")
    assert len(told.named("add_scalar")) == 6


def test_what_is_not_there_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SpecError, match="tensorboard"):
        send(run, "tensorbord", project="p", folder=tmp_path)
    with pytest.raises(PlaygroundError, match="no run"):
        send(tmp_path, "wandb", project="p", folder=tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(PlaygroundError, match="pip install wandb"):
        send(run, "wandb", project="p", folder=tmp_path)
