"""`train.keep: best`: the weights that were best on val are scored, stored and exported."""

import importlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from playground.train import (
    Event,
    RunInterrupted,
    RunStore,
    evaluate,
    export,
    restore,
    stored_run,
    train,
)
from playground.train.member import kept_weights
from playground.train.run import train_together
from playground.train.signals import StopRequest
from tests.train.small import RUN, losses, run_with, trained
from tests.train.test_reads import FRAMES_RUN

# rates that ruin the weights ever faster, so that the first evaluation is the best by far, whatever
# the last digits of a machine are
RISING = replace(RUN.train.optim, lr=10.0, warmup=12.0, schedule="constant")
RUINED = run_with(RUN, keep="best", optim=RISING)


def steps_and_scores(spec, store: Path):
    result, folder = trained(spec, store)
    return result, folder, losses(folder, "eval")


def test_the_best_weights_are_those_of_the_lowest_loss_on_val(tmp_path: Path):
    result, folder, scores = steps_and_scores(RUINED, tmp_path)
    assert 2 * scores[6] < scores[12]
    assert result.metrics["val/loss"] == scores[6]
    short = run_with(RUN, steps=6, optim=replace(RISING, lr=5.0, warmup=6.0))  # the same rates
    first = train(short, tmp_path)  # its last weights are the best ones of the other
    assert result.metrics["test/loss"] == first.metrics["test/loss"]
    last = train(run_with(RUINED, keep="last"), tmp_path)
    assert last.metrics["test/loss"] != result.metrics["test/loss"]
    notes = [row["text"] for row in folder.rows() if row["kind"] == "note"]
    assert notes == ["kept the weights of step 6, the best on val"]


def test_they_are_what_is_restored_exported_and_evaluated(tmp_path: Path):
    result, folder, _ = steps_and_scores(RUINED, tmp_path / "runs")
    scores = evaluate(folder.path, spec=stored_run(folder.path))
    assert scores["loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)
    checkpoint, _ = folder.checkpoints.load()
    assert checkpoint is not None
    kept = kept_weights(checkpoint.tensors)
    assert not torch.equal(kept["norm.weight"], checkpoint.tensors["model/norm.weight"])
    for where in (folder.path, export(folder, tmp_path / "out")):
        weights = restore(where).state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize("at", [4, 8, 11])
def test_a_run_that_was_stopped_keeps_the_same_weights(tmp_path: Path, at: int, monkeypatch):
    whole = train(RUINED, tmp_path / "whole")
    request = StopRequest()

    def press(event: Event) -> None:
        request.requested = event.step >= at

    module = importlib.import_module("playground.train.run")
    monkeypatch.setattr(module, "stop_on_signal", lambda: nullcontext(request))
    with pytest.raises(RunInterrupted):
        train(RUINED, tmp_path / "cut", press)
    request.requested = False
    again = train(RUINED, tmp_path / "cut")
    assert dict(again.metrics) == {**whole.metrics, "tokens_per_s": again.metrics["tokens_per_s"]}


def test_each_run_of_a_stack_keeps_its_own(tmp_path: Path):
    fast = replace(FRAMES_RUN.train.optim, lr=1.0, schedule="constant")
    ruined = run_with(FRAMES_RUN, keep="best", steps=8, eval_every=2, optim=fast)
    calm = run_with(ruined, optim=FRAMES_RUN.train.optim)
    found = train_together([ruined, calm], tmp_path)
    for result in found:
        folder = RunStore(tmp_path).run(result.fingerprint)
        assert result.metrics["val/loss"] == min(losses(folder, "eval").values())
        again = evaluate(folder.path, spec=stored_run(folder.path))
        assert again["loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-5)
    scores = losses(RunStore(tmp_path).run(found[0].fingerprint), "eval")
    assert min(scores, key=scores.__getitem__) != 8  # the last weights are others
