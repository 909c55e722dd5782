"""One run from its spec to its result; what was done already is not done again."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from playground.compile.process import prepare_process
from playground.spec import RunSpec, canonical_json, fingerprint, to_dict, to_yaml
from playground.tasks import Task, make_task
from playground.train.cache import compile_cache
from playground.train.costs import costs_of
from playground.train.events import Event, Progress, ignore
from playground.train.loop import named_scores, run_loop
from playground.train.machine import environment, pick_device, precision
from playground.train.member import Member
from playground.train.prepare import prepare_model
from playground.train.program import Program
from playground.train.replicas import check_alike, make_program
from playground.train.result import Result
from playground.train.signals import RunInterrupted, StopRequest, stop_on_signal
from playground.train.store import RunFolder, RunStore, new_store
from playground.train.under import check_evaluations, scored_under

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
    (result,) = train_together([spec], store, progress, retry=retry)
    return result


def train_together(
    specs: Sequence[RunSpec],
    store: Path | str,
    progress: Progress | None = None,
    *,
    retry: bool = False,
) -> list[Result]:
    """Train runs that share a `stack_key` as one program; each ends as `train` would end it.

    Args:
        specs: what to train, each once.
        store: folder of runs.
        progress: told of every step and evaluation of every run.
        retry: try those again that failed.

    Raises:
        SpecError: they cannot be one program.
        others: as `train`; nothing is trained then.
    """
    prepare_process()
    check_alike(specs)
    check_evaluations(specs[0])  # those of one program differ in no weight
    folders = RunStore(new_store(Path(store)))
    tasks = {spec.task: make_task(spec.task) for spec in specs}
    found = [(spec, folders.run(identity(spec, tasks[spec.task]))) for spec in specs]
    with ExitStack() as held:
        todo = []
        for spec, folder in found:
            if _stored(folder, retry) is not None:
                continue
            held.enter_context(folder.locked())
            if _stored(folder, retry) is None:  # it did not end while we waited for the lock
                folder.reopen()
                todo.append((spec, folder))
        if todo:
            with compile_cache():
                _train([(s, tasks[s.task], folder) for s, folder in todo], progress or ignore)
    return [result for _, folder in found if (result := folder.result()) is not None]


def identity(spec: RunSpec, task: Task) -> str:
    """The fingerprint of a run: its spec and the data it reads."""
    return fingerprint(spec, task.data_sha())


def record_failure(spec: RunSpec, store: Path | str, reason: str) -> Result:
    """Write down that a run could not be carried out, so that a report has a row for it."""
    task = make_task(spec.task)
    folder = RunStore(store).run(identity(spec, task))
    now = time.time()
    result = Result(
        fingerprint=folder.fingerprint,
        status="failed",
        reason=reason,
        seed=spec.seed,
        began=now,
        ended=now,
    )
    if not folder.described:
        _describe(folder, spec, task, torch.device("cpu"))  # where this is written down
    folder.finish(result)
    return result


def _describe(folder: RunFolder, spec: RunSpec, task: Task, device: torch.device) -> None:
    resolved = {"spec": to_dict(spec), "canonical": canonical_json(spec), "data": task.data_sha()}
    folder.describe(
        spec_yaml=to_yaml(spec),
        resolved=resolved,
        env=environment(device),
    )


def _stored(folder: RunFolder, retry: bool) -> Result | None:
    result = folder.result()
    return result if result is not None and (result.ok or not retry) else None


def _train(runs: Sequence[tuple[RunSpec, Task, RunFolder]], progress: Progress) -> None:
    device, began = pick_device(runs[0][0].device), time.time()
    members = [_member(*run, device, began, alone=len(runs) == 1) for run in runs]
    newest = _common_step([folder for _, _, folder in runs]) if len(runs) > 1 else None
    notes = {member: member.resume(newest) for member in members}
    for member in members:
        sample = {"val_while_training": f"at most {member.spec.train.eval_batches} batches"}
        progress(_event(member, "start", facts=member.task.describe() | sample))
        for text in notes[member]:
            progress(_event(member, "note", text=text))
    with stop_on_signal() as stop:
        program = make_program(members)
        run_loop(program, progress=progress, stop=stop, failed=partial(_end, progress, len(runs)))
        _finish(program, progress, stop)


def _common_step(folders: Sequence[RunFolder]) -> int:
    """The last step that all runs can go on from: a kill may come between two checkpoints."""
    newest: int | None = None
    while True:
        found = [folder.checkpoints.load(newest)[0] for folder in folders]
        steps = {0 if checkpoint is None else checkpoint.step for checkpoint in found}
        newest = min(steps)
        if len(steps) == 1:
            return newest


def _member(
    spec: RunSpec,
    task: Task,
    folder: RunFolder,
    device: torch.device,
    began: float,
    *,
    alone: bool,
) -> Member:
    model = prepare_model(spec if alone else replace(spec, compile=False), task, device)
    _describe(folder, spec, task, device)
    return Member(spec=spec, task=task, model=model, folder=folder, device=device, began=began)


def _finish(program: Program, progress: Progress, stop: StopRequest) -> None:
    """The final evaluations, on the whole test split if a run asks for it, and all results."""
    members = program.members

    def tell(done: int, batches: int) -> None:
        if stop.requested:
            raise RunInterrupted(members[0].folder.path, members[0].step, members[0].steps)
        progress(replace(_event(members[0], "test"), step=done, steps=batches))

    if all(member.failure is not None for member in members):
        return
    for member in members:
        if member.failure is None:
            member.take_best()
    asked, alone = members[0].spec.train.score_test, len(members) == 1  # alike in a stack
    test = program.evaluate("test", progress=tell) if asked else None
    for i, member in enumerate(members):
        if member.failure is None:
            scores = {} if test is None else named_scores(test[i])
            scores |= scored_under(member, scores, alone=alone, progress=tell)
            _end(progress, len(members), member, scores)


def _end(
    progress: Progress, replicas: int, member: Member, test: dict[str, float] | None = None
) -> None:
    """A run is over: its result is there from now on, whatever becomes of the others."""
    result = _result(member, test or {}, replicas)
    member.folder.finish(result)
    progress(_event(member, "done", metrics=dict(result.metrics)))


def _result(member: Member, test: dict[str, float], replicas: int) -> Result:
    metrics: dict[str, float] = {}
    if member.failure is None:
        metrics = {f"val/{name}": value for name, value in member.scores.items()}
        metrics |= {f"test/{name}": value for name, value in test.items()}
        speed = member.clock.tokens_per_s()
        if speed is not None and replicas == 1:  # of a stack it would be nobody's own
            metrics["tokens_per_s"] = speed
    else:
        log.info("%s: %s", member.folder.path, member.failure)
    costs = costs_of(member.model, member.spec.example_length)
    return Result(
        fingerprint=member.folder.fingerprint,
        status="ok" if member.failure is None else "failed",
        reason=None if member.failure is None else str(member.failure),
        metrics=metrics,
        floors=member.task.floors(),
        params=costs.params,
        state_bytes=costs.state_bytes,
        flops_per_token=costs.flops_per_token,
        tokens=member.tokens,
        seed=member.spec.seed,
        steps=member.step,
        wall_s=member.clock.elapsed_s(),
        began=member.began,
        ended=time.time(),
        replicas=replicas,
        computed=f"{member.device.type} {precision(member.spec.dtype, member.device)}",
    )


def _event(member: Member, kind: str, **extra: object) -> Event:
    return Event(
        kind=kind,  # pyright: ignore[reportArgumentType]
        fingerprint=member.folder.fingerprint,
        step=member.step,
        steps=member.steps,
        **extra,  # pyright: ignore[reportArgumentType]
    )
