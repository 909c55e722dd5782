"""Configs of kernels, chosen offline on the GPU that they are for; never at run time.

A family offers candidates (value block, warps, stages) and a way to start its kernel with one of
them. What is printed are entries of the kernels' table of configs; a person puts them there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch

from playground.bench.gate import Gate
from playground.bench.measure import Function, Times, measure_together
from playground.compile import Target
from playground.errors import LoweringError

Config = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kernel at fixed sizes, to be tried with several configs.

    kernel: its name; key: what the table looks it up by, such as width, chunk and architecture;
    candidates: the configs to try; start: a config -> what is timed; check: a config -> the gate of
    what it computes.
    """

    kernel: str
    key: Mapping[str, object]
    candidates: Sequence[Config]
    start: Callable[[Config], Function]
    check: Callable[[Config], Gate]


# Called with the target; each gives the families of some kernels there.
FAMILIES: list[Callable[[Target], Iterator[Family]]] = []


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came of the candidates of a family.

    times: by the candidate's place; refused: why another has none.
    """

    family: Family
    times: Mapping[int, Times] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def best(self) -> int | None:
        """The place of the fastest candidate; None if none is right and runs."""
        return min(self.times, key=lambda i: self.times[i].median, default=None)

    def entry(self) -> str:
        """The line of the table, with its time; or why there is none."""
        family, best = self.family, self.best
        key = ", ".join([repr(family.kernel), *(repr(value) for value in family.key.values())])
        if best is None:
            return (
                f"# ({key}): no candidate runs: {'; '.join(dict.fromkeys(self.refused.values()))}"
            )
        told = ", ".join(f"{name}={value}" for name, value in family.candidates[best].items())
        t = self.times[best]
        tried = f"best of {len(self.times)}, {len(self.refused)} refused"
        return f"({key}): Config({told}),  # {t.median:.4f} ms [{t.p20:.4f}, {t.p80:.4f}], {tried}"

    def as_dict(self) -> dict[str, Any]:
        """Every candidate for JSON."""
        rows = [
            {
                **config,
                "ms": self.times[i].median if i in self.times else None,
                "refused": self.refused.get(i, ""),
                "best": i == self.best,
            }
            for i, config in enumerate(self.family.candidates)
        ]
        return {"kernel": self.family.kernel, "key": dict(self.family.key), "candidates": rows}


def every(**values: Sequence[int]) -> list[dict[str, int]]:
    """Every combination, as in `every(block_v=(16, 32), warps=(4, 8), stages=(1, 2))`."""
    return [dict(zip(values, found, strict=True)) for found in product(*values.values())]


def tune(family: Family, *, device: str = "cuda", warmup: int = 3, repeats: int = 20) -> Tuned:
    """Time every candidate of a family that computes the right thing; they take turns.

    Args:
        family: the kernel and its candidates.
        device: where its tensors lie.
        warmup: calls of each that do not count.
        repeats: calls of each that count.

    Raises:
        LoweringError: it is no GPU: what is fast in the interpreter says nothing.
    """
    require_gpu(device)
    ready: dict[str, Function] = {}
    refused: dict[int, str] = {}
    for i, config in enumerate(family.candidates):
        try:
            gate, run = family.check(config), family.start(config)
            run()
        except Exception as error:  # out of registers or shared memory: the next may fit
            refused[i] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            continue
        if gate.green:
            ready[str(i)] = run
        else:
            refused[i] = f"FAIL: {gate.reason}"
    times = measure_together(ready, warmup=warmup, repeats=repeats, sync=torch.cuda.synchronize)
    return Tuned(
        family=family, times={int(i): found for i, found in times.items()}, refused=refused
    )


def tune_families(device: str = "auto", *, repeats: int = 20) -> list[Tuned]:
    """Tune every family that is known for the GPU here.

    Raises:
        LoweringError: there is no GPU, or no kernel offers candidates.
    """
    target = Target.of(device)
    require_gpu(target.device)
    families = [family for known in FAMILIES for family in known(target)]
    if not families:
        raise LoweringError("--tune", "no kernel offers candidates.")
    return [tune(family, device=target.device, repeats=repeats) for family in families]


def require_gpu(device: str) -> None:
    """Refuse to tune where no GPU is.

    Raises:
        LoweringError: the device is none, or torch cannot use it.
    """
    if torch.device(device).type != "cuda" or not torch.cuda.is_available():
        raise LoweringError(
            "--tune",
            f"needs CUDA, target is {device}: configs are chosen on the GPU that they are for.",
        )
