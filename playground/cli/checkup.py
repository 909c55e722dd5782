"""What `doctor` looks at."""

import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from playground.compile.toolchain import find_compiler, install_command

NEEDED = ("torch", "tensordict", "omegaconf", "numpy", "scipy", "safetensors", "typer", "rich")
NEEDED_TOO = ("matplotlib", "filelock")
EXTRAS = {
    "triton": ("triton", "Triton fast paths on a GPU"),
    "xformers": ("xformers", "its attention on a GPU"),
    "ray": ("ray", "sweeps on several machines"),
    "optuna": ("search", "model-based search"),
    "datasets": ("data", "corpora and tokenizers by name"),
    "tokenizers": ("data", "corpora and tokenizers by name"),
    "lm_eval": ("lm-eval", "scores of lm-evaluation-harness"),
    "titans_pytorch": ("peers", "comparison with the public Titans"),
    "fla": ("peers", "comparison with flash-linear-attention, on a GPU"),
}
SMALLEST_NORMAL = 1.1754943508222875e-38


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    state: "ok"; "absent", optional and not there; "missing", something cannot run without it;
        "wrong", nothing can.
    """

    what: str
    state: Literal["ok", "absent", "missing", "wrong"]
    says: str


def findings() -> list[Finding]:
    """Everything that `doctor` says."""
    return [*_packages(), _compiler(), *_processor(), *_devices(), *_lowerings(), *_extras()]


def _packages() -> Iterator[Finding]:
    yield Finding(what="python", state="ok", says=platform.python_version())
    for name in (*NEEDED, *NEEDED_TOO):
        found = _version(name)
        says = found or "not installed. Install test-time-playground again."
        yield Finding(what=name, state="ok" if found else "wrong", says=says)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _compiler() -> Finding:
    found = find_compiler()
    if found:
        return Finding(what="C++ compiler", state="ok", says=found)
    says = (
        "none, so compile: true and loops cannot run on a CPU (--no-compile or compile=false can). "
        f"Get one: {install_command()}"
    )
    return Finding(what="C++ compiler", state="missing", says=says)


def _processor() -> Iterator[Finding]:
    import torch

    from playground.compile import products

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    says = f"{torch.get_num_threads()} of {cores} cores (OMP_NUM_THREADS changes it)"
    yield Finding(what="threads", state="ok", says=says)
    torch.set_flush_denormal(True)
    flushed = bool((torch.tensor([SMALLEST_NORMAL]) * 0.5 == 0).all())
    says = "flushed to zero" if flushed else "not flushed: decaying memories may run slowly here"
    yield Finding(what="denormals", state="ok" if flushed else "missing", says=says)
    ours = "in compiled graphs large ones are our own: torch's library leaves half of a core idle"
    yield Finding(what="products", state="ok", says=ours if products.pays() else "torch's")


def _devices() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        says = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Finding(what="CUDA", state="ok", says=says)
    else:
        says = "no GPU that torch can use: everything runs on the CPU"
        yield Finding(what="CUDA", state="absent", says=says)


def _lowerings() -> Iterator[Finding]:
    from memory_rules import RULES
    from playground.compile import LOWERINGS, Target

    target = Target.of("auto")
    rules = [rule() for rule in RULES.values()]
    for lowering in LOWERINGS:
        reasons = [why for rule in rules if (why := lowering.refuses(rule, target))]
        runs = len(rules) - len(reasons)
        says = f"runs {runs} of {len(rules)} rules" + (f"; {reasons[0]}" if reasons else "")
        state = "ok" if runs else "absent"
        yield Finding(what=f"lowering {lowering.name}", state=state, says=says)


def _extras() -> Iterator[Finding]:
    for module, (extra, purpose) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        says = f"{purpose}" + ("" if there else f"; pip install 'test-time-playground[{extra}]'")
        yield Finding(what=module, state="ok" if there else "absent", says=says)
