"""Real worker processes: results equal to training alone, deaths, failures, other drivers."""

import errno
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import search.pool as pool_module
from playground.errors import PlaygroundError, SpecError
from playground.spec import EngineSpec, RunSpec, SweepSpec, VariantSpec, convert, fingerprint
from playground.tasks import make_task
from playground.train import Event, Result, RunStore, train
from search.bundle import Bundle
from search.cluster import Cluster
from search.engine import Order, Team
from search.plan import SweepPlan, plan_sweep
from search.pool import JobEvent, Pool
from search.sweep import run_sweep
from search.worker import train_runs
from tests.search.test_plan import SWEEP

BAD = VariantSpec(overrides={"train.optim.lr": 1e30, "train.optim.clip": 0.0})
LONG = replace(SWEEP.train, steps=400, checkpoint_every=50, eval_every=400)


def carried_out(sweep: SweepSpec, tmp_path: Path, **more: object) -> tuple[SweepPlan, list]:
    plan = plan_sweep(sweep, "small")
    events: list[JobEvent] = []
    run_sweep(
        plan,
        store=RunStore(tmp_path / "runs"),
        folder=tmp_path / "sweeps" / "small",
        watch=events.append,
        **more,  # pyright: ignore[reportArgumentType]
    )
    return plan, events


def kinds(events: list[JobEvent], *wanted: str) -> list[str]:
    return [event.kind for event in events if event.kind in wanted]


def test_a_sweep_gives_what_each_run_gives_alone_and_is_done_once(tmp_path: Path):
    sweep = replace(SWEEP, variants={"bad": BAD})
    plan, events = carried_out(sweep, tmp_path, workers=2)
    store = RunStore(tmp_path / "runs")
    assert sorted(kinds(events, "done", "failed")) == ["done"] * 2 + ["failed"] * 2
    assert (tmp_path / "sweeps" / "small" / "sweep.json").is_file()
    assert plan.todo(store) == []
    job = plan.jobs[0]
    found, alone = store.run(job.fingerprint).result(), train(job.spec, tmp_path / "alone")
    assert found is not None
    assert found.metrics["test/loss"] == pytest.approx(alone.metrics["test/loss"], rel=1e-6)
    bad = store.run(plan.jobs[2].fingerprint).result()
    assert bad is not None
    assert bad.reason is not None
    assert "at step" in bad.reason
    assert any(event.event is not None and event.event.loss for event in events)
    assert carried_out(sweep, tmp_path)[1] == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on(tmp_path: Path):
    killed: list[int] = []

    def kill(event: JobEvent) -> None:
        moved = event.event
        if not killed and moved is not None and moved.kind == "step" and moved.step > 100:
            import multiprocessing

            (worker,) = multiprocessing.active_children()
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            killed.append(moved.step)

    plan = plan_sweep(replace(SWEEP, train=LONG, seeds=1), "small")
    store = RunStore(tmp_path / "runs")
    seen: list[JobEvent] = []

    def watch(event: JobEvent) -> None:
        seen.append(event)
        kill(event)

    run_sweep(plan, store=store, folder=tmp_path, workers=1, watch=watch)
    assert kinds(seen, "retried") == ["retried"]
    results = [store.run(job.fingerprint).result() for job in plan.jobs]
    assert all(result is not None and result.ok for result in results)


@pytest.mark.slow
def test_a_run_that_another_driver_trains_is_waited_for(tmp_path: Path):
    plan = plan_sweep(replace(SWEEP, seeds=1), "small")
    store = RunStore(tmp_path / "runs")
    folder = store.run(plan.jobs[0].fingerprint)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with folder.locked():
            held.set()
            free.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    waited: list[float] = []

    def watch(event: JobEvent) -> None:
        if event.kind == "done" and event.job is not plan.jobs[0]:
            waited.append(time.monotonic())
            if len(waited) == len(plan.jobs) - 1:
                free.set()

    run_sweep(plan, store=store, folder=tmp_path, workers=1, watch=watch)
    other.join()
    result = folder.result()
    assert result is not None
    assert result.ok


def test_a_run_that_cannot_be_built_is_a_failed_row(tmp_path: Path):
    variants = {"elsewhere": VariantSpec(overrides={"device": absent()})}
    plan, events = carried_out(replace(SWEEP, variants=variants, seeds=1), tmp_path, workers=1)
    assert kinds(events, "done", "failed") == ["done", "failed"]
    result = RunStore(tmp_path / "runs").run(plan.jobs[1].fingerprint).result()
    assert result is not None
    assert result.reason is not None
    assert SpecError.__name__ in result.reason


def test_a_sweep_that_cannot_run_here_is_refused_before_it_begins(tmp_path: Path):
    with pytest.raises(SpecError, match="not available"):
        carried_out(replace(SWEEP, device=absent()), tmp_path)
    assert list(tmp_path.iterdir()) == []


class Quiet:
    """What workers and engines that are no processes need not do."""

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def dismiss(self, workers: list) -> None: ...


@pytest.mark.parametrize("speaks", [True, False])
def test_a_stack_whose_workers_die_is_tried_in_halves(speaks: bool, tmp_path: Path):
    """As a system does that kills what takes too much memory; one run kills every worker."""
    store, given = RunStore(tmp_path), list[int]()
    jobs = plan_sweep(replace(SWEEP, variants={}, grid={"dim": (16, 32)}, seeds=4), "s").jobs[:8]
    jobs = tuple(replace(job, stack="one", graph="one") for job in jobs)

    class Mortal(Quiet):
        def __init__(self) -> None:
            self.order: Order | None = None

        def give(self, order: Order) -> None:
            self.order = order
            given.append(len(order.specs))

    class Killer(Quiet):
        def hire(self, threads: int) -> Mortal:
            return Mortal()

        def listen(self, workers: list[Mortal], timeout_s: float) -> list:
            heard = []
            for worker in workers:
                order, worker.order = worker.order, None
                if order is None:
                    continue
                names = {fingerprint_of(raw) for raw in order.specs}
                if speaks:
                    event = Event(kind="start", fingerprint="", step=0, steps=1)
                    heard.append((worker, ("event", event)))
                if not speaks or len(names) > 4 or jobs[-1].fingerprint in names:
                    heard.append((worker, ("died", "signal 9")))
                    continue
                for name in names:
                    folder = store.run(name)
                    folder.path.mkdir(parents=True, exist_ok=True)
                    folder.finish(Result(fingerprint=name, status="ok"))
                heard.append((worker, ("done", "")))
            return heard

    rules = EngineSpec(retries=1)
    pool = Pool(store, Killer(), Team(workers=1, threads=1), rules)  # pyright: ignore
    pool.run([Bundle(jobs=jobs)])
    if not speaks:  # nothing is known of the runs: they are not what is too large
        assert given == [8, 8]
        assert [run.result().status for run in store.runs()] == ["failed"] * 8  # pyright: ignore
        return
    assert given == [8, 8, 4, 4, 2, 2, 1, 1]
    ends = [store.run(job.fingerprint).result() for job in jobs]
    assert [end.status for end in ends if end] == ["ok"] * 7 + ["failed"]


def test_a_stack_with_a_run_of_another_driver_waits_whole_before_it_is_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One run is held by a worker that outlives its driver for some looks, or by one that stays."""
    monkeypatch.setattr(pool_module, "BUSY_WAIT_S", 0.0)
    store = RunStore(tmp_path)
    jobs = plan_sweep(SWEEP, "s").jobs[:4]
    jobs = tuple(replace(job, stack="one", graph="one") for job in jobs)
    held = jobs[-1].fingerprint

    class Idle(Quiet):
        order: Order | None = None

        def give(self, order: Order) -> None:
            self.order = order

    class Shared(Quiet):
        def __init__(self, looks: int) -> None:
            self.looks, self.given = looks, list[int]()

        def hire(self, threads: int) -> Idle:
            return Idle()

        def listen(self, workers: list[Idle], timeout_s: float) -> list:
            heard = []
            for worker in workers:
                if (order := worker.order) is None:
                    continue
                worker.order = None
                self.given.append(len(order.specs))
                busy = held in {fingerprint_of(raw) for raw in order.specs} and self.looks > 0
                self.looks -= busy
                heard.append((worker, ("busy" if busy else "done", "")))
            return heard

    def given(looks: int) -> list[int]:
        engine = Shared(looks)
        Pool(store, engine, Team(workers=1, threads=1), EngineSpec()).run(  # pyright: ignore
            [Bundle(jobs=jobs)]
        )
        return engine.given

    most = pool_module.WHOLE_LOOKS
    assert given(most) == [4] * (most + 1)
    parted = given(most + 1)
    assert parted[: most + 1] == [4] * (most + 1)
    assert sorted(parted[most + 1 :]) == [2, 2]


def test_a_full_disk_ends_the_sweep_and_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The workers' own function, in this process; nothing it could write would be kept."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "checkpoints/step-1.safetensors")

    class Here(Quiet):
        def give(self, order: Order) -> None:
            self.said = train_runs(order, lambda event: None)

    class Engine(Quiet):
        def hire(self, threads: int) -> Here:
            return Here()

        def listen(self, workers: list[Here], timeout_s: float) -> list:
            return [(worker, worker.said) for worker in workers]

    monkeypatch.setattr("playground.train_together", full)
    store, jobs = RunStore(tmp_path), plan_sweep(SWEEP, "s").jobs
    pool = Pool(store, Engine(), Team(workers=1, threads=1), EngineSpec())  # pyright: ignore
    with pytest.raises(PlaygroundError, match=r"No space left .* the same command goes on"):
        pool.run([Bundle(jobs=(job,)) for job in jobs])
    assert not list(tmp_path.glob("*/result.json"))


def fingerprint_of(raw: dict) -> str:
    spec = convert(RunSpec, raw)
    return fingerprint(spec, make_task(spec.task).data_sha())


def absent() -> str:
    """A device that this machine has not."""
    return "mps" if torch.cuda.is_available() else "cuda"


def test_a_cluster_has_room_for_the_workers_that_its_nodes_can_hold():
    cluster = object.__new__(Cluster)
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    cluster._connected = lambda: SimpleNamespace(nodes=lambda: nodes)  # pyright: ignore

    def team(threads: int, gpus: float) -> int:
        cluster._spec = EngineSpec(engine="ray", gpus=gpus)
        return cluster.team(replace(SWEEP, run=EngineSpec(threads=threads)), runs=100).workers

    assert (team(1, 0.0), team(3, 0.0), team(4, 0.0)) == (8, 2, 2)
    assert (team(1, 1.0), team(1, 0.25), team(1, 0.5)) == (1, 4, 2)
    with pytest.raises(SpecError, match="no node has 6 CPUs"):  # all of them together have
        team(6, 0.0)
    nodes[0]["Resources"] = {"CPU": 16.0, "GPU": 1.0}
    assert team(1, 0.2) == 5
