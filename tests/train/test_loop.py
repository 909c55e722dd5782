"""The loop: the same numbers whatever the batch is cut into, and wherever it was left."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from playground.compile import build
from playground.tasks import make_task
from playground.train import Event, RunInterrupted, RunStore, train
from playground.train.loop import run_loop
from playground.train.member import Member
from playground.train.optim import scheduled_lr
from playground.train.program import Alone
from playground.train.signals import StopRequest
from tests.train.small import MEMORY, RUN, losses, run_with, trained

CPU = torch.device("cpu")


def member(tmp_path: Path, spec=RUN, name: str = "run") -> Member:
    folder = RunStore(tmp_path).run(name)
    folder.path.mkdir(parents=True, exist_ok=True)
    model = build(spec.model, seed=spec.seed)
    return Member(
        spec=spec, task=make_task(spec.task), model=model, folder=folder, device=CPU, began=0.0
    )


def weights(one: Member) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in one.model.named_parameters()}


def test_the_same_run_gives_the_same_numbers_bit_for_bit(tmp_path: Path):
    first, second = member(tmp_path, name="a"), member(tmp_path, name="b")
    for one in (first, second):
        run_loop(Alone(one))
    assert losses(first.folder) == losses(second.folder)
    assert losses(first.folder, "eval") == losses(second.folder, "eval")
    again = weights(second)
    assert all(torch.equal(w, again[name]) for name, w in weights(first).items())


def test_another_seed_gives_other_numbers(tmp_path: Path):
    first = member(tmp_path, run_with(steps=1), "a")
    second = member(tmp_path, replace(run_with(steps=1), seed=1), "b")
    run_loop(Alone(first))
    run_loop(Alone(second))
    assert losses(first.folder) != losses(second.folder)


def test_accumulation_gives_the_gradients_of_one_large_batch(tmp_path: Path):
    plain = replace(RUN, model=MEMORY_WITHOUT_DROPOUT, dtype="fp64")
    large = member(tmp_path, run_with(plain, steps=3, batch=4), "large")
    parts = member(tmp_path, run_with(plain, steps=3, batch=2, accumulate=2), "parts")
    for one in (large, parts):
        one.model.double()
        run_loop(Alone(one))
    assert parts.tokens == large.tokens == 3 * 4 * 12
    for name, w in weights(large).items():
        torch.testing.assert_close(weights(parts)[name], w, rtol=1e-9, atol=1e-12)


def without_dropout(block):
    return replace(block, feedforward=replace(block.feedforward, dropout=0.0))


MEMORY_WITHOUT_DROPOUT = replace(RUN.model, block=without_dropout(RUN.model.block))


def test_the_logged_rate_is_the_schedule_and_every_row_is_there(tmp_path: Path):
    one = member(tmp_path)
    run_loop(Alone(one))
    rows = [row for row in one.folder.rows() if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [1, 2, 4, 6, 8, 10, 12]
    for row in rows:
        wanted = scheduled_lr(RUN.train.optim, row["step"] - 1, RUN.train.steps)
        assert row["lr"] == pytest.approx(wanted)
        assert row["tokens"] == row["step"] * 2 * 12
    assert list(losses(one.folder, "eval")) == [6, 12]
    assert rows[0]["tokens_per_s"] is None  # the first step compiles


@pytest.mark.parametrize("at", [1, 4, 6, 11])
def test_a_run_that_is_stopped_anywhere_goes_on_bit_for_bit(tmp_path: Path, at: int):
    whole = member(tmp_path, name="whole")
    run_loop(Alone(whole))
    stop = StopRequest()

    def press(event: Event) -> None:
        stop.requested = event.step >= at

    first = member(tmp_path, name="cut")
    with pytest.raises(RunInterrupted) as caught:
        run_loop(Alone(first), progress=press, stop=stop)
    assert caught.value.step == at
    assert f"step {at}" in str(caught.value)
    second = member(tmp_path, name="cut")
    notes = second.resume()
    assert any(f"after step {at}" in note for note in notes)
    run_loop(Alone(second))
    assert losses(second.folder) == losses(whole.folder)
    assert losses(second.folder, "eval") == losses(whole.folder, "eval")
    assert all(torch.equal(w, weights(second)[name]) for name, w in weights(whole).items())


def test_a_damaged_checkpoint_sends_the_run_back_to_the_one_before(tmp_path: Path):
    whole, first = member(tmp_path, name="whole"), member(tmp_path, name="cut")
    run_loop(Alone(whole))
    run_loop(Alone(first))
    newest = sorted(first.folder.checkpoints.folder.glob("*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    second = member(tmp_path, name="cut")
    notes = second.resume()
    assert "damaged" in notes[0]
    assert second.step == 9
    run_loop(Alone(second))
    assert losses(second.folder) == losses(whole.folder)
    texts = [row["text"] for row in second.folder.rows() if row["kind"] == "note"]
    assert texts == notes


def test_weights_that_are_not_finite_stop_the_run_with_their_name(tmp_path: Path):
    one = member(tmp_path)
    name = "blocks.0.norm.weight"
    with torch.no_grad():
        one.model.get_parameter(name).fill_(float("nan"))
    run_loop(Alone(one))
    assert one.failure is not None
    assert (one.failure.step, one.failure.tensor) == (1, f"parameter {name}")
    assert one.folder.checkpoints.steps() == []


def test_each_memory_layer_is_logged_at_every_evaluation(tmp_path: Path):
    result, folder = trained(run_with(replace(RUN, model=MEMORY), steps=2, eval_every=1), tmp_path)
    assert result.ok
    rows = [row for row in folder.rows() if row["kind"] == "memory"]
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert len(row["layers"]) == 2
        for layer in row["layers"]:
            assert {"lr", "momentum", "decay", "surprise_norm", "memory_norm"} <= set(layer)


def test_logging_the_memory_changes_no_number(tmp_path: Path):
    spec = replace(RUN, model=MEMORY)
    often = member(tmp_path, run_with(spec, steps=3, eval_every=1), "often")
    seldom = member(tmp_path, run_with(spec, steps=3, eval_every=3), "seldom")
    for one in (often, seldom):
        run_loop(Alone(one))
    assert losses(often.folder) == losses(seldom.folder)


def test_events_tell_of_every_step(tmp_path: Path):
    events: list[Event] = []
    train(RUN, tmp_path, events.append)
    steps = [event for event in events if event.kind == "step"]
    assert [event.step for event in steps] == list(range(1, 13))
    assert events[0].kind == "start"
    assert events[0].facts["task"] == "mqar"
    assert events[-1].kind == "done"
    assert steps[-1].tokens_per_s is not None
    assert steps[-1].eta_s == 0
