"""Sixteen runs as stacks and one by one: the same sweep twice on one machine, from nothing.

    python benchmarks/replicas.py [--steps 200] [--out FILE]

Four ablations that are masks (none, no momentum, no decay, no convolution), two seeds, two
learning rates of a small memory model on text. Both sweeps have as many worker processes as there
are cores and empty compile caches of their own.

together   wall seconds of the whole sweep, processes, compiling and evaluations included
steps      tokens per second of all workers together once programs are settled
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
task: {kind: text, corpus: python-stdlib, length: 128, stream_eval: false}
train: {batch: 4, log_every: 1, eval_every: 1000, eval_batches: 1, optim: {lr: 1e-3}}
variants:
  no-momentum: {block.memory.momentum: none}
  no-decay: {block.memory.decay: none}
  no-conv: {block.memory.conv: 0}
grid: {train.optim.lr: [1e-3, 5e-4]}
seeds: 2
"""


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
        rows = [store.run(job.fingerprint).rows() for job in bundle.jobs]
        trained = [[row for row in each if row["kind"] == "train"] for each in rows]
        speeds.append(sum(each[-1]["tokens_per_s"] for each in trained))
        for job, each in zip(bundle.jobs, trained, strict=True):
            losses[job.fingerprint] = [row["loss"] for row in each[:COMPARED]]
    return {
        "programs": len(bundles),
        "workers": team.workers,
        "seconds": seconds,
        "tokens_per_s": team.workers * sum(speeds) / len(speeds),
        "losses": losses,
    }


def main() -> None:
    """Measure both ways and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    asked = parser.parse_args()
    models = Path(__file__).resolve().parents[1] / "specs" / "models"
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "replicas.yaml"
        file.write_text(SWEEP.replace("MODELS", str(models)), encoding="utf-8")
        spec = pg.load(file, f"train.steps={asked.steps}")
        for name, vectorize in (("stacked", "auto"), ("alone", False)):
            run: Any = replace(spec.run, vectorize=vectorize)
            found[name] = measure(replace(spec, run=run), Path(folder) / name)
            shown = {key: value for key, value in found[name].items() if key != "losses"}
            print(name, json.dumps(shown), flush=True)
    pairs = [
        (a, b)
        for key, losses in found["stacked"].pop("losses").items()
        for a, b in zip(losses, found["alone"]["losses"][key], strict=True)
    ]
    del found["alone"]["losses"]
    ratios = {
        "together": found["alone"]["seconds"] / found["stacked"]["seconds"],
        "steps": found["stacked"]["tokens_per_s"] / found["alone"]["tokens_per_s"],
        "apart": max(abs(a - b) / abs(b) for a, b in pairs),
        "apart, median": median(abs(a - b) / abs(b) for a, b in pairs),
    }
    print(json.dumps(ratios))
    if asked.out is not None:
        asked.out.write_text(
            json.dumps({"length": asked.steps, **found, **ratios}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
