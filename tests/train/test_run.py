"""One run from its spec to its result: done once, taken up again, failures kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from playground.errors import PlaygroundError, SpecError
from playground.report.records import run_entry
from playground.spec import load_run
from playground.spec.tasks import Babilong, Dna, TaskSpec
from playground.train import Event, RunBusy, RunStore, identity, record_failure, train
from playground.train.run import make_task
from tests.train.small import RUN, run_with, trained


def test_a_result_has_scores_floors_sizes_and_time(tmp_path: Path):
    result, folder = trained(RUN, tmp_path)
    assert result.ok
    assert {"val/loss", "test/loss", "test/accuracy", "tokens_per_s"} <= set(result.metrics)
    assert result.floors.keys() == {"any_value", "value_in_context"}
    assert (result.steps, result.tokens, result.seed) == (12, 12 * 2 * 12, 0)
    assert result.params > 0
    assert result.state_bytes > 0
    assert result.wall_s > 0
    assert load_run(folder.spec_path) == RUN
    assert {"resolved.json", "env.json", "metrics.jsonl", "result.json"} <= {
        path.name for path in folder.path.iterdir()
    }
    machine = json.loads((folder.path / "env.json").read_text())
    kind, _, vectors = machine["processor"].rpartition(", ")
    assert kind and vectors == torch.backends.cpu.get_cpu_capability()


def test_a_run_can_end_without_reading_the_test_split(tmp_path: Path):
    seen: list[str] = []
    blind = run_with(score_test=False)
    result = train(blind, tmp_path, lambda event: seen.append(event.kind))
    assert result.ok
    assert seen[-1] == "done"
    assert "test" not in seen
    assert {name.partition("/")[0] for name in result.metrics} == {"val", "tokens_per_s"}
    with pytest.raises(SpecError, match=r"evaluate: .*train\.score_test: false"):
        replace(blind, evaluate=({"task.length": 24},))


def test_a_run_says_first_what_it_reads_and_how_much_of_val_it_scores(tmp_path: Path):
    events: list[Event] = []
    train(run_with(eval_batches=3), tmp_path, events.append)
    assert events[0].kind == "start"
    assert events[0].facts["task"] == "mqar"
    assert events[0].facts["val_while_training"] == "at most 3 batches"


def test_a_finished_run_is_only_looked_up(tmp_path: Path):
    first = train(RUN, tmp_path)
    events: list[Event] = []
    assert train(RUN, tmp_path, events.append) == first
    assert events == []


def test_a_run_that_is_interrupted_and_called_again_gives_the_same_result(tmp_path: Path):
    whole, folder = trained(RUN, tmp_path / "whole")

    class Killed(BaseException):
        """Stands for a kill: nothing of ours may catch it."""

    def kill(event: Event) -> None:
        if event.step == 8:
            raise Killed

    with pytest.raises(Killed):
        train(RUN, tmp_path / "cut", kill)
    notes: list[str] = []
    again = train(RUN, tmp_path / "cut", lambda event: notes.append(event.text))
    assert "taken up again after step 6" in notes
    timeless = ("tokens_per_s",)
    kept = {name: value for name, value in whole.metrics.items() if name not in timeless}
    assert kept == {name: v for name, v in again.metrics.items() if name not in timeless}
    assert again.fingerprint == whole.fingerprint == folder.fingerprint


def test_a_kill_during_the_last_evaluation_repeats_only_that(tmp_path: Path):
    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if event.kind == "test":
            raise Killed

    with pytest.raises(Killed):
        train(RUN, tmp_path, kill)
    steps: list[int] = []
    result = train(RUN, tmp_path, lambda event: event.kind == "step" and steps.append(event.step))
    assert result.ok
    assert steps == []


def test_a_run_with_a_bad_number_is_kept_as_failed_and_tried_again_when_asked(tmp_path: Path):
    spec = run_with(optim=replace(RUN.train.optim, lr=1e30, clip=0.0, warmup=0.0))
    result, folder = trained(spec, tmp_path)
    assert not result.ok
    assert result.reason is not None
    assert "at step" in result.reason
    assert folder.result() == result
    events: list[Event] = []
    assert train(spec, tmp_path, events.append) == result
    assert events == []
    assert train(spec, tmp_path, events.append, retry=True).reason == result.reason
    assert events[0].kind == "start"


def test_what_never_began_can_be_recorded(tmp_path: Path):
    result = record_failure(RUN, tmp_path, "its worker died")
    fingerprint = identity(RUN, make_task(RUN.task))
    assert RunStore(tmp_path).run(fingerprint).result() == result
    assert result.fingerprint == fingerprint
    assert RunStore(tmp_path).find(fingerprint[:8]).described
    assert run_entry(tmp_path / fingerprint) is not None  # a page counts it as failed
    assert train(RUN, tmp_path, retry=True).ok


def test_a_run_that_another_process_holds_is_refused(tmp_path: Path):
    folder = RunStore(tmp_path).run(identity(RUN, make_task(RUN.task)))
    with folder.locked(), pytest.raises(RunBusy, match="another process"):
        train(RUN, tmp_path)


def test_a_device_that_is_not_there_is_named(tmp_path: Path):
    if torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(SpecError, match="mps is not available"):
        train(replace(RUN, device="mps"), tmp_path)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PlaygroundError, match="cannot be written"):
        train(RUN, blocked / "runs")


def test_bf16_and_fp64_runs_end(tmp_path: Path):
    for dtype in ("bf16", "fp64"):
        assert train(run_with(replace(RUN, dtype=dtype), steps=2), tmp_path).ok


@pytest.mark.parametrize("task", [Babilong(vocab=256), Dna()], ids=["facts alone", "dna"])
def test_a_task_that_does_not_say_how_long_its_examples_are(task: TaskSpec, tmp_path: Path):
    spec = replace(run_with(steps=2), task=task, model=replace(RUN.model, vocab=256))
    result = train(spec, tmp_path)
    assert result.ok
    assert result.flops_per_token > 0
    assert spec.training_tokens == 2 * 2 * 512
