"""Ours and the peer's Titans memory in one run on one machine.

    python benchmarks/speed.py [--json docs/results/speed.json] [--quick]

fp32, B = 2, T = 1024, 4 heads of 64, a two-layer MLP memory with hidden 128, chunk 64, gates per
token (in the paper's setting of the peer too; its default pools them). Repetitions of everything
that is compared take turns, so that drift of the machine hits all of it; every number is a median
with its 20 % and 80 % quantiles; the number of threads is fixed and the same for all.

What is inside each timing:

scan    ours: from q, k, v and gates to outputs, [B, T, H, d]: filters, starting state and the loop
        over chunks included. Backward gives gradients to q, k, v, every gate and starting weight.
layer   ours: from x to y, [B, T, 256]: projections, depthwise convolutions, SiLU, unit keys and
        queries, gates, the scan, norm, output gate and projection. Backward: to x and parameters.
peer    NeuralMemory: from x to y, [B, T, 256]: two norms, projections, gates, memory, output gate
        per head and projection. Backward: to x and every parameter that gets a gradient.
core    the peer without the projections of queries, keys, values and outputs; its norms, pooling
        and gates remain.

So `layer` against `peer` is like for like (ours does more: convolutions, unit length, a full output
gate), and `scan` against `core` nearly is (the peer's still makes its gates). `scan` against `peer`
is printed as well; it leaves out of ours what takes about a fifth of the peer's.

FLOPs per token of the scan, forward, matrix products alone (playground/compile/rule_flops.py):
heads * (12 P - 2 P_1 + 2 C sum(d_in + d_out)), P numbers in a memory, P_1 in its first layer.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # from a checkout, not installed

import peer
import torch
from rich.console import Console
from show import MODES, as_plain, show

from blocks.init import initialise
from blocks.memory import MemoryLayer
from blocks.spec import MemorySpec
from memory_rules import RULES, AbstractMemoryRule
from memory_rules.testing import Case
from playground.bench import (
    SCALES,
    FirstCompile,
    Shape,
    Times,
    check_scan,
    flops_of,
    forward,
    forward_backward,
    make_problem,
    measure_first_compile,
    measure_memory,
    measure_peak,
    measure_together,
    stamp,
)
from playground.compile import LOWERINGS, classify

SHAPE = Shape(batch=2, length=1024, heads=4, width=64)
CHUNK = 64
TITANS = RULES["titans"](chunk_size=CHUNK, expand=2.0)
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
CLASSES: dict[str, AbstractMemoryRule] = {
    "A": RULES["linear_attention"](),
    "B": RULES["gated_delta"](),
    "C": TITANS,
    "C'": RULES["titans"](chunk_size=CHUNK, expand=2.0, anchor="passes:1"),
    "D": RULES["moneta"](chunk_size=CHUNK, expand=2.0),
}
(CHUNKED,) = (low for low in LOWERINGS if low.name == "chunked")

Found = dict[str, Any]
Functions = dict[str, Callable[[], object]]


def ours(quick: bool) -> dict[str, Functions]:
    """Our scan and our layer, compiled, by mode.

    Raises:
        RuntimeError: the gate is red; then there is no time.
    """
    scan = CHUNKED.bind(TITANS, True)
    for scale in SCALES[: 1 if quick else None]:
        gate = check_scan(TITANS, scan, SHAPE, scale=scale)
        if not gate.green:
            raise RuntimeError(f"{TITANS.kind}, gates {scale}: {gate.reason}")
    case = make_problem(TITANS, SHAPE)
    layer = MemoryLayer(MemorySpec(rule=TITANS, heads=SHAPE.heads), width(), scan=scan)
    initialise(layer, 0)
    body = torch.compile(layer, fullgraph=True)

    def run(x: torch.Tensor) -> torch.Tensor:
        return body(x, layer.start(x.shape[0]))[0]

    x, parameters = tokens(), list(layer.parameters())
    return {
        MODES[0]: {"ours: scan": forward(scan, case), "ours: layer": peer.layer_forward(run, x)},
        MODES[1]: {
            "ours: scan": forward_backward(scan, case),
            "ours: layer": peer.layer_forward_backward(run, x, parameters),
        },
    }


def theirs() -> dict[str, Functions]:
    """The peer's default at our chunk size, compiled and eager, and its core compiled, by mode."""
    made: dict[str, Functions] = {mode: {} for mode in MODES}
    for name, core, compiled in (
        ("peer: default, compiled", False, True),
        ("peer: core, compiled", True, True),
        ("peer: default, eager", False, False),
    ):
        module = peer.make_peer(
            heads=SHAPE.heads, width=SHAPE.width, core=core, chunk_size=CHUNK, batch_size=None
        )
        for mode, function in layer_functions(module, tokens(), compiled).items():
            made[mode][name] = function
    return made


def layer_functions(module: torch.nn.Module, x: torch.Tensor, compiled: bool) -> Functions:
    """Forward, and forward and backward, of a NeuralMemory."""
    body = torch.compile(module) if compiled else module

    def run(x: torch.Tensor) -> torch.Tensor:
        return body(x)[0]

    return {
        MODES[0]: peer.layer_forward(run, x),
        MODES[1]: peer.layer_forward_backward(run, x, peer.learned(module)),
    }


def tokens(length: int = SHAPE.length) -> torch.Tensor:
    """Random tokens [B, T, M] for a layer."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE.batch, length, width(), generator=generator)


def width() -> int:
    """Model width M."""
    return SHAPE.heads * SHAPE.width


def compare(repeats: int, quick: bool) -> dict[str, dict[str, Times]]:
    """Ours and the peer's default in turns, by mode."""
    found, made = {}, ours(quick)
    if peer.is_installed():
        made = {mode: made[mode] | functions for mode, functions in theirs().items()}
    for mode, functions in made.items():
        found[mode] = measure_together(functions, warmup=3, repeats=repeats)
    return found


def paper_setting(length: int, repeats: int) -> dict[str, Times]:
    """The peer's paper-exact setting, eager: its compile takes minutes and breaks three graphs."""
    module = peer.make_peer(heads=SHAPE.heads, width=SHAPE.width, chunk_size=1, batch_size=CHUNK)
    functions = layer_functions(module, tokens(length), compiled=False)
    return {
        mode: measure_together({mode: f}, warmup=1, repeats=repeats)[mode]
        for mode, f in functions.items()
    }


def by_length(lengths: tuple[int, ...], repeats: int) -> dict[int, Times]:
    """Our forward at growing lengths, in turns."""
    scan = CHUNKED.bind(TITANS, True)
    cases: dict[int, Case] = {n: make_problem(TITANS, replace(SHAPE, length=n)) for n in lengths}
    functions = {str(n): forward(scan, case) for n, case in cases.items()}
    times = measure_together(functions, warmup=2, repeats=repeats)
    return {n: times[str(n)] for n in lengths}


def measure_all(options: argparse.Namespace, say: Callable[[str], None]) -> Found:
    """Everything, in the order in which it is printed; say: told what comes next."""
    quick, repeats = options.quick, options.repeats
    found: Found = {"about": stamp() | {"shape": asdict(SHAPE), "rule": repr(TITANS)}}
    say("the machine's peak, the gate, and ours and the peer's default in turns")
    before = measure_peak(repeats=repeats)
    found["times"] = compare(repeats, quick)
    found["peak"] = peak = before.better_of(measure_peak(repeats=repeats))
    found["paper"], found["paper_length"] = {}, options.paper_length
    if peer.is_installed():
        say("the peer's paper setting")
        found["paper"] = paper_setting(options.paper_length, 1 if quick else 3)
    forward_ms = found["times"][MODES[0]]["ours: scan"].median
    flops = flops_of(TITANS, "chunked", SHAPE)
    found["flops_per_token"] = flops / SHAPE.tokens
    found["share_of_peak"] = flops / forward_ms * 1e3 / peak.flops_per_s
    say("growing lengths")
    found["lengths"] = by_length(LENGTHS[: 2 if quick else None], repeats)
    say("memory, in two processes of its own")
    found["memory"] = measure_memory(TITANS, SHAPE)
    found["compile"] = first_compiles(options, say)
    return found


def first_compiles(
    options: argparse.Namespace, say: Callable[[str], None]
) -> dict[str, FirstCompile]:
    """First compile of one rule per class, or of every rule, each in a process of its own."""
    rules: dict[str, AbstractMemoryRule] = {"C": TITANS} if options.quick else CLASSES
    if options.every_rule:
        rules = {f"{classify(r())[0]} {n}": r() for n, r in RULES.items()}
    found = {}
    for name, rule in rules.items():
        say(f"first compile of {name}")
        found[name] = measure_first_compile(rule, SHAPE)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Ours and the peer's Titans memory in one run.")
    parser.add_argument("--json", type=Path, help="where the numbers go; else a dated file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--paper-length", type=int, default=SHAPE.length, help="tokens of a call")
    parser.add_argument("--every-rule", action="store_true", help="first compile of every rule")
    parser.add_argument("--quick", action="store_true", help="less of everything: a smoke test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console()
    found = measure_all(options, lambda text: console.print(f"measuring {text}", style="dim"))
    show(found, console)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    path = options.json or Path(__file__).parent.parent / f"docs/results/speed-{today}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_plain(found), indent=1) + "\n")


if __name__ == "__main__":  # children of a measurement import this file
    main()
