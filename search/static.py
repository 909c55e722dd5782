"""Before a search trains anything: what a candidate costs, and whether it is sound.

It is built of fake tensors and counted; a small one is computed to see that no output knows later
tokens and that its lowering gives what the recurrence gives; then its training step is timed.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import playground as pg

BEYOND = 33  # tokens after a chunk and a segment: odd, so that chunks do not fit
LONGEST = 289  # sequence that is checked; larger chunks are checked inside of one alone
NEAR = 1e-8  # in fp64, relative to the largest logit
TIMED = 5  # steps, after one that does not count

Costs = dict[str, float]
Look = Callable[[pg.RunSpec], Costs]


class Rejected(Exception):
    """A candidate that is not trained; the text says why."""


class Static:
    """Looks at candidates, each model once.

    Args:
        spec: its limits hold, and its batch is what is timed.
        file: where measured numbers are kept, so that a search that goes on sees the same.
    """

    def __init__(self, spec: pg.SearchSpec, file: Path) -> None:
        self.spec, self.file = spec, file
        self._known: dict[str, Any] = {}
        if file.is_file():
            self._known = json.loads(file.read_text(encoding="utf-8"))

    def costs(self, run: pg.RunSpec) -> Costs:
        """Parameters, state bytes, FLOPs per token and training tokens per second.

        Raises:
            Rejected: it cannot be built, is not sound, or is outside the limits.
        """
        key = pg.fingerprint(replace(run, seed=0, train=pg.TrainSpec(batch=run.train.batch)))
        costs: Costs = {}
        for step, look in STEPS.items():
            found = self._looked(key, step, look, run)
            self._check_limits(found)
            costs |= found
        return costs

    def _looked(self, key: str, step: str, look: Look, run: pg.RunSpec) -> Costs:
        known = self._known.setdefault(key, {})
        if isinstance(known, dict) and step not in known:
            try:
                known[step] = look(run)
            except Rejected as why:
                self._known[key] = str(why)
            self._keep()
        if isinstance(self._known[key], str):
            raise Rejected(self._known[key])
        return known[step]

    def _check_limits(self, costs: Mapping[str, float]) -> None:
        for name, (low, high) in self.spec.limits.items():
            if name in costs and not low <= costs[name] <= high:
                raise Rejected(f"{name} outside [{low:g}, {high:g}]")

    def _keep(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self._known), encoding="utf-8")
        part.replace(self.file)


def _sizes(run: pg.RunSpec) -> Costs:
    try:
        return {name: float(value) for name, value in asdict(pg.costs_of_run(run)).items()}
    except (pg.PlaygroundError, ValueError) as error:
        raise Rejected(f"cannot be built: {error}") from None


def _sound(run: pg.RunSpec) -> Costs:
    try:
        check_sound(run)
    except (pg.PlaygroundError, ValueError) as error:
        raise Rejected(f"cannot be built: {error}") from None
    return {}


def _speed(run: pg.RunSpec) -> Costs:
    return {"tokens_per_s": tokens_per_s(run)}


# what is dear comes after limits on what is not
STEPS = {"sizes": _sizes, "sound": _sound, "speed": _speed}


def check_sound(run: pg.RunSpec) -> None:
    """Causality and equivalence of a freshly initialised model, in fp64 on the CPU.

    Raises:
        Rejected: an output knows a later token, or the lowering and the recurrence differ.
    """
    length = min(run.model.period + BEYOND, LONGEST)
    tokens = torch.arange(length).remainder(run.model.vocab).unsqueeze(0)
    places = (BEYOND // 2, length - BEYOND // 2)  # in the first chunk, and after the last boundary
    changed = [tokens.index_fill(1, torch.tensor([at]), int(tokens[0, at - 1])) for at in places]
    forms = ("recurrent", run.lowering)
    with torch.no_grad():
        models = [
            pg.compile(run.model, device="cpu", lowering=form, compile=False).double().eval()
            for form in forms
        ]
        exact, found = (model(tokens) for model in models)
        after = [models[1](some) for some in changed]
    if any(not torch.equal(found[:, :at], x[:, :at]) for at, x in zip(places, after, strict=True)):
        raise Rejected("not causal: an output knows a later token")
    if (found - exact).abs().max() > NEAR * exact.abs().max():
        raise Rejected(f"its lowering is not the recurrence: {(found - exact).abs().max():.1e}")


def tokens_per_s(run: pg.RunSpec) -> float:
    """Tokens per second of forward and backward at the run's batch and length: the best of a few.

    On one thread of a CPU, as workers train by default. Two that wait for each other say how busy
    the machine is: beside another program a hundredth of what was then trained at.

    Raises:
        Rejected: it does not compile, or there is no memory for it.
    """
    device, threads = pg.pick_device(run.device), torch.get_num_threads()
    shape, seconds = (run.train.batch, run.example_length), list[float]()
    torch.set_num_threads(1)
    try:
        tokens = torch.zeros(shape, dtype=torch.int64, device=device)
        model = pg.compile(
            run.model, device=str(device), lowering=run.lowering, compile=run.compile
        )
        for _ in range(TIMED + 1):
            began = time.perf_counter()
            model(tokens).float().logsumexp(-1).mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    except (RuntimeError, pg.PlaygroundError) as error:
        raise Rejected(f"does not run: {type(error).__name__}: {error}") from None
    finally:
        torch.set_num_threads(threads)
    return tokens.numel() / min(seconds[1:])
