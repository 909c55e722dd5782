"""One run from its spec to its result; what was done already is not done again."""

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from playground.compile import compile as compile_model
from playground.compile.process import prepare_process
from playground.errors import RunFailed, SpecError
from playground.spec import RunSpec, canonical_json, fingerprint, to_dict, to_yaml
from playground.tasks import Task, make_task
from playground.train.cache import compile_cache
from playground.train.costs import LENGTH, costs_of
from playground.train.events import Event, Progress, ignore
from playground.train.loop import autocast, named_scores, run_loop
from playground.train.machine import environment, pick_device
from playground.train.member import Member, scored
from playground.train.result import Result
from playground.train.signals import RunInterrupted, StopRequest, stop_on_signal
from playground.train.store import RunFolder, RunStore, new_store

log = logging.getLogger(__name__)


def train(
    spec: RunSpec, store: Path | str, progress: Progress | None = None, *, retry: bool = False
) -> Result:
    """Train a run to its end, or take it up where it was left; a finished one is only looked up.

    Args:
        spec: what to train.
        store: folder of runs; this one lies in `<store>/<fingerprint>`.
        progress: told of every step and evaluation.
        retry: try a run again that failed.

    Raises:
        SpecError, DataError, LoweringError: it cannot begin.
        RunBusy: another process is training it.
        RunInterrupted: it was asked to stop; the same call goes on from there.
    """
    prepare_process()
    task = make_task(spec.task)
    folder = RunStore(new_store(Path(store))).run(identity(spec, task))
    if (stored := _stored(folder, retry)) is not None:
        return stored
    with folder.locked():
        if (stored := _stored(folder, retry)) is not None:  # ended while we waited for the lock
            return stored
        folder.reopen()
        with compile_cache():
            return _train(spec, task, folder, progress or ignore)


def identity(spec: RunSpec, task: Task) -> str:
    """The fingerprint of a run: its spec and the data it reads."""
    return fingerprint(spec, task.data_sha())


def record_failure(spec: RunSpec, store: Path | str, reason: str) -> Result:
    """Write down that a run could not be carried out, so that a report has a row for it."""
    folder = RunStore(store).run(identity(spec, make_task(spec.task)))
    result = Result(fingerprint=folder.fingerprint, status="failed", reason=reason, seed=spec.seed)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.finish(result)
    return result


def _stored(folder: RunFolder, retry: bool) -> Result | None:
    result = folder.result()
    return result if result is not None and (result.ok or not retry) else None


def _train(spec: RunSpec, task: Task, folder: RunFolder, progress: Progress) -> Result:
    device = pick_device(spec.device)
    model = prepare_model(spec, task, device)
    folder.describe(
        spec_yaml=to_yaml(spec),
        resolved={"spec": to_dict(spec), "canonical": canonical_json(spec)},
        env=environment(device),
    )
    member = Member(spec=spec, task=task, model=model, folder=folder, device=device)
    progress(_event(member, "start", facts=task.describe()))
    for text in member.resume():
        progress(_event(member, "note", text=text))
    with stop_on_signal() as stop:
        try:
            run_loop([member], progress=progress, stop=stop)
            result = _finished(member, progress, stop)
        except RunFailed as failure:
            log.info("%s: %s", folder.path, failure)
            result = _result(member, {}, reason=str(failure))
    folder.finish(result)
    progress(_event(member, "done", metrics=dict(result.metrics)))
    return result


def prepare_model(spec: RunSpec, task: Task, device: torch.device) -> nn.Module:
    """The run's model with its initial weights, lowered and on the device.

    Raises:
        SpecError: the task has more symbols than the model.
        LoweringError: nothing can run it as asked.
    """
    if task.vocab > spec.model.vocab:
        raise SpecError(
            "model.vocab",
            f"{spec.model.vocab} is fewer than the {task.vocab} symbols of the task.",
            fix=f"Write model.vocab: {task.vocab}.",
        )
    model = compile_model(
        spec.model,
        device=str(device),
        lowering=spec.lowering,
        compile=spec.compile,
        seed=spec.seed,
    )
    return model.double() if spec.dtype == "fp64" else model


def _finished(member: Member, progress: Progress, stop: StopRequest) -> Result:
    """The final evaluation, on the whole test split."""

    def tell(done: int, batches: int) -> None:
        if stop.requested:
            raise RunInterrupted(member.folder.path, member.step, member.steps)
        progress(replace(_event(member, "test"), step=done, steps=batches))

    with autocast(member):
        test = named_scores(member.task.evaluate(scored(member.model), "test", progress=tell))
    metrics = {f"val/{name}": value for name, value in member.scores.items()}
    metrics |= {f"test/{name}": value for name, value in test.items()}
    speed = member.clock.tokens_per_s()
    if speed is not None:
        metrics["tokens_per_s"] = speed
    return _result(member, metrics)


def _result(member: Member, metrics: dict[str, float], reason: str | None = None) -> Result:
    costs = costs_of(member.model, getattr(member.spec.task, "length", LENGTH))
    return Result(
        fingerprint=member.folder.fingerprint,
        status="ok" if reason is None else "failed",
        reason=reason,
        metrics=metrics,
        floors=member.task.floors(),
        params=costs.params,
        state_bytes=costs.state_bytes,
        flops_per_token=costs.flops_per_token,
        tokens=member.tokens,
        seed=member.spec.seed,
        steps=member.step,
        wall_s=member.clock.elapsed_s(),
    )


def _event(member: Member, kind: str, **extra: object) -> Event:
    return Event(
        kind=kind,  # pyright: ignore[reportArgumentType]
        fingerprint=member.folder.fingerprint,
        step=member.step,
        steps=member.steps,
        **extra,  # pyright: ignore[reportArgumentType]
    )
