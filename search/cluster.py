"""Workers anywhere in a Ray cluster: an actor holds a worker's place and its process.

The process is the one of `search.local`, so a run computes the same here and there. The actor has
the resources, passes orders and messages on, and takes its process with it when it dies. Nothing is
kept in the cluster: whoever dies, the run store is the truth.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import playground as pg
from search.engine import CarryOut, Order, Planned, Said, Team
from search.local import Local
from search.worker import train_runs

PAUSE_S = 1.0  # an actor answers that nothing happened after so long
END_WAIT_S = 60.0  # for actors to end their process
ROUNDING = 1e-6  # 1 / 0.2 may be a little less than 5


class _Host:
    """The actor: one local worker, driven from afar."""

    def __init__(self, threads: int, carry_out: CarryOut) -> None:
        self.local = Local(carry_out)
        self.worker = self.local.hire(threads)

    def give(self, order: Order) -> None:
        self.worker.give(order)

    def listen(self) -> list[Said]:
        return [said for _, said in self.local.listen([self.worker], PAUSE_S)]

    def stop(self) -> None:
        self.worker.stop()

    def close(self) -> None:
        self.local.dismiss([self.worker])


@dataclass(kw_only=True)
class ClusterWorker:
    """An actor, and the answer we wait for."""

    actor: Any
    ray: Any
    news: Any = field(default=None)

    def give(self, order: Order) -> None:
        """See `Worker`."""
        self.actor.give.remote(order)

    def stop(self) -> None:
        """See `Worker`."""
        self.actor.stop.remote()

    def kill(self) -> None:
        """See `Worker`."""
        self.ray.kill(self.actor)


class Cluster:
    """The engine `ray`.

    Connects when it is first asked for something: to the cluster at `address`, or to one that it
    starts on this machine and that ends with this process. The run store has to lie where every
    node can reach it under the same path.

    Args:
        spec: address, and GPUs of each worker.
        carry_out: what a worker does with its runs.

    Raises:
        PlaygroundError: Ray is not installed.
    """

    def __init__(self, spec: pg.EngineSpec, carry_out: CarryOut = train_runs) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise pg.PlaygroundError(
                "run.engine: ray is an extra that is not installed here. "
                "Install it: pip install 'test-time-playground[ray]', or write engine: local."
            ) from None
        self._ray, self._spec, self._carry_out = ray, spec, carry_out

    def check(self, spec: Planned) -> None:
        """See `Engine`."""
        if spec.device.startswith("cuda") and not self._has("GPU"):
            fix = "Write device: auto, or add a node with one."
            raise pg.SpecError("device", "the cluster has no GPU.", fix=fix)
        if spec.device.startswith("cuda") and not self._spec.gpus:
            fix = "Write run.gpus: 1, or 0.5 for two workers on each."
            raise pg.SpecError("run.gpus", "a worker gets no GPU, but runs need one.", fix=fix)

    def team(self, spec: Planned, runs: int, workers: int | None = None) -> Team:
        """See `Engine`: as many as the cluster has room for, with one thread each, if `auto`."""
        threads = 1 if spec.run.threads == "auto" else spec.run.threads
        room = sum(_room(node, threads, self._spec.gpus) for node in self._nodes())
        if room < 1:
            problem = f"no node has {threads} CPUs and {self._spec.gpus:g} GPUs for a worker."
            raise pg.SpecError("run", problem, fix="Ask for fewer threads or gpus, or add nodes.")
        asked = workers if workers is not None else spec.run.workers
        count = room if asked == "auto" else min(asked, room)  # others would wait for ever
        return Team(workers=max(1, min(count, runs)), threads=threads)

    def hire(self, threads: int) -> ClusterWorker:
        """See `Engine`."""
        host = (
            self._connected()
            .remote(_Host)
            .options(
                num_cpus=threads,
                num_gpus=self._spec.gpus,
                max_concurrency=3,  # orders come in while it listens
            )
        )
        return ClusterWorker(actor=host.remote(threads, self._carry_out), ray=self._ray)

    def listen(
        self, workers: Sequence[ClusterWorker], timeout_s: float
    ) -> list[tuple[ClusterWorker, Said]]:
        """See `Engine`."""
        for worker in workers:
            if worker.news is None:
                worker.news = worker.actor.listen.remote()
        waiting = {worker.news: worker for worker in workers}
        self._ray.wait(list(waiting), num_returns=1, timeout=timeout_s)
        ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        heard: list[tuple[ClusterWorker, Said]] = []
        for ref in ready:
            worker = waiting[ref]
            worker.news = None
            try:
                heard += [(worker, said) for said in self._ray.get(ref)]
            except self._ray.exceptions.RayError as error:
                why = str(error).strip().splitlines() or [""]
                heard.append((worker, ("died", f"{type(error).__name__}: {why[-1].strip()}")))
        return heard

    def dismiss(self, workers: Sequence[ClusterWorker]) -> None:
        """See `Engine`."""
        closing = [worker.actor.close.remote() for worker in workers]
        self._ray.wait(closing, num_returns=len(closing), timeout=END_WAIT_S)
        for worker in workers:
            self._ray.kill(worker.actor)

    def _has(self, resource: str) -> bool:
        return any(node.get(resource, 0.0) > 0 for node in self._nodes())

    def _nodes(self) -> list[Mapping[str, float]]:
        """What every node that is alive has."""
        return [node["Resources"] for node in self._connected().nodes() if node["Alive"]]

    def _connected(self) -> Any:
        if not self._ray.is_initialized():
            self._ray.init(
                address=self._spec.address or "local",
                include_dashboard=None if self._spec.address else False,
                logging_level=logging.WARNING,
                log_to_driver=False,  # what a run says is in its folder
            )
        return self._ray


def _room(node: Mapping[str, float], threads: int, gpus: float) -> int:
    """How many workers a node has place for: a worker is on one node."""
    asked = {"CPU": float(threads), "GPU": gpus}
    rooms = (node.get(name, 0.0) / need + ROUNDING for name, need in asked.items() if need)
    return min(map(int, rooms))
