"""Sixteen runs as stacks and one by one: the same sweep each way on one machine, from nothing.

    python benchmarks/replicas.py [--steps 200] [--against WAY ...] [--out FILE]

Four ablations that are masks (none, no momentum, no decay, no convolution), two seeds, two
learning rates of a small memory model on text. Every sweep has an empty compile cache of its own.

stacked    stacks of eight, as many worker processes as there are cores
alone      each run by itself, compiled, in as many worker processes
in turn    each run by itself, compiled, one after another with all cores

together   wall seconds of the whole sweep, processes, compiling and evaluations included
steps      tokens per second of all workers together over the second half of the steps
apart      largest difference of a run's training loss over the first 50 steps, relative
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import playground as pg
from search.plan import plan_sweep
from search.sweep import run_sweep, teamed

COMPARED = 50  # steps over which the losses are compared
SWEEP = """
kind: sweep
base: {extends: MODELS/titans_lmm.yaml, dim: 64, depth: 2, block.memory.network: linear}
task:
  {kind: text, corpus: python-stdlib, length: 128, stream_eval: false, split: [0.98, 0.01, 0.01]}
train: {batch: 4, log_every: 1, eval_every: 1000, eval_batches: 1, optim: {lr: 1e-3}}
variants:
  no-momentum: {block.memory.momentum: none}
  no-decay: {block.memory.decay: none}
  no-conv: {block.memory.conv: 0}
grid: {train.optim.lr: [1e-3, 5e-4]}
seeds: 2
"""
WAYS: dict[str, dict[str, Any]] = {
    "stacked": {},
    "alone": {"vectorize": False},
    "in turn": {"vectorize": False, "workers": 1, "threads": os.cpu_count()},
}


def measure(spec: pg.SweepSpec, root: Path) -> dict[str, Any]:
    """Carry the sweep out in `root`: seconds, tokens per second, and the losses of every run."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(root / "cache")
    store = pg.RunStore(root / "runs")
    plan = plan_sweep(spec, "replicas", store)
    team, bundles = teamed(plan, plan.jobs)
    began = time.perf_counter()
    run_sweep(plan, store=store, folder=root / "sweep")
    seconds = time.perf_counter() - began
    speeds, losses = [], {}
    for bundle in bundles:
        for job in bundle.jobs:
            result = store.run(job.fingerprint).result()
            if result is None or not result.ok:
                raise SystemExit(f"{job.label}: {result.reason if result else 'it has no result'}")
        rows = [store.run(job.fingerprint).rows() for job in bundle.jobs]
        trained = [[row for row in each if row["kind"] == "train"] for each in rows]
        speeds.append(sum(map(settled, trained)))
        for job, each in zip(bundle.jobs, trained, strict=True):
            losses[job.fingerprint] = [row["loss"] for row in each[:COMPARED]]
    return {
        "programs": len(bundles),
        "workers": team.workers,
        "seconds": seconds,
        "tokens_per_s": team.workers * sum(speeds) / len(speeds),
        "losses": losses,
    }


def settled(rows: list[dict[str, Any]]) -> float:
    """Tokens per second of one run over the second half of its steps: nothing compiles any more."""
    middle, last = rows[len(rows) // 2], rows[-1]
    return (last["tokens"] - middle["tokens"]) / (last["elapsed_s"] - middle["elapsed_s"])


def compared(stacked: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How many times as fast stacks are: the whole sweep, and its steps."""
    return {
        "together": other["seconds"] / stacked["seconds"],
        "steps": stacked["tokens_per_s"] / other["tokens_per_s"],
    }


def main() -> None:
    """Measure all ways and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=200)
    others = [name for name in WAYS if name != "stacked"]
    parser.add_argument("--against", nargs="+", choices=others, default=others)
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    asked = parser.parse_args()
    models = Path(__file__).resolve().parents[1] / "specs" / "models"
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "replicas.yaml"
        file.write_text(SWEEP.replace("MODELS", str(models)), encoding="utf-8")
        spec = pg.load(file, f"train.steps={asked.steps}")
        for name in ("stacked", *asked.against):
            run: Any = replace(spec.run, **WAYS[name])
            found[name] = measure(replace(spec, run=run), Path(folder) / name.replace(" ", "-"))
            shown = {key: value for key, value in found[name].items() if key != "losses"}
            print(name, json.dumps(shown), flush=True)
    losses = {name: each.pop("losses") for name, each in found.items()}
    ratios = {name: compared(found["stacked"], found[name]) for name in asked.against}
    for name in ratios:
        pairs = [
            abs(a - b) / abs(b)
            for key, ours in losses["stacked"].items()
            for a, b in zip(ours, losses[name][key], strict=True)
        ]
        ratios[name] |= {"apart": max(pairs), "apart, median": median(pairs)}
    print(json.dumps(ratios))
    if asked.out is not None:
        asked.out.write_text(
            json.dumps({"length": asked.steps, **found, "ratios": ratios}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
