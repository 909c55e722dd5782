"""What it costs to schedule a run, and to plan, report and list a very large store.

    python -m benchmarks.scheduling [--runs 1000] [--stored 100000] [--ray] [--out FILE]

overhead   milliseconds per run of a sweep whose runs train nothing: planning, handing out,
           reading the spec, writing and reading the result; starting the workers is apart
store      seconds and MiB of one process that plans, reports or lists a store of finished runs
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import playground as pg
from search.engine import Engine, Order
from search.plan import plan_sweep
from search.sweep import run_sweep

MODELS = Path(__file__).parents[1] / "specs" / "models"
SWEEP = """
kind: sweep
base: {extends: MODELS/titans_lmm.yaml, dim: 32, depth: 1, block.memory.network: linear}
task: {kind: mqar, pairs: 4, length: 32, vocab: 256}
train: {batch: 4, steps: 1}
grid: {train.optim.lr: RATES}
seeds: SEEDS
run: {vectorize: false}
"""


def sweep_of(folder: Path, *, variants: int, seeds: int) -> Path:
    """The YAML of a sweep with so many variants and seeds."""
    rates = [round(1e-3 * (1 + i / 1000), 9) for i in range(variants)]
    text = SWEEP.replace("MODELS", str(MODELS))
    file = folder / "large.yaml"
    file.write_text(text.replace("RATES", str(rates)).replace("SEEDS", str(seeds)))
    return file


def no_op(order: Order, shown: Any) -> tuple[str, str]:
    """A worker's job without the training: every run has a result at once."""
    for raw in order.specs:
        spec = pg.convert(pg.RunSpec, raw)
        pg.record_failure(spec, order.store, "it trains nothing")
    return "done", ""


def engine_of(spec: pg.SweepSpec) -> Engine[Any]:
    """The engine of the sweep, whose workers train nothing; started."""
    from benchmarks.scheduling import no_op as work  # by a name that other processes can import

    if spec.run.engine == "ray":
        from search.cluster import Cluster

        engine = Cluster(spec.run, work)
    else:
        from search.local import Local

        engine = Local(work)
    engine.team(spec, 1)
    return engine


def overhead(runs: int, kind: str) -> dict[str, Any]:
    """Milliseconds per run of a sweep whose runs do nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = pg.load(sweep_of(folder, variants=2, seeds=runs // 2), f"run.engine={kind}")
        assert isinstance(spec, pg.SweepSpec)
        engine, store, ends = engine_of(spec), pg.RunStore(folder / "runs"), []
        began = time.perf_counter()
        plan = plan_sweep(spec, "large", store)
        planned = time.perf_counter()

        def watch(event: Any) -> None:
            if event.kind in ("done", "failed"):
                ends.append(time.perf_counter())

        run_sweep(plan, store=store, folder=folder / "sweep", engine=engine, watch=watch)
        busy = ends[-1] - ends[0]
    return {
        "engine": kind,
        "runs": len(ends),
        "plan_ms": 1e3 * (planned - began) / len(ends),
        "run_ms": 1e3 * busy / (len(ends) - 1),
        "start_s": ends[0] - planned,
    }


def fill(store: pg.RunStore, plan: Any) -> None:
    """Results and curves as a finished sweep leaves them, of no training."""
    resolved = None
    for number, job in enumerate(plan.jobs):
        folder = store.run(job.fingerprint)
        folder.path.mkdir(parents=True)
        if job.seed == 0:
            resolved = json.dumps({"spec": pg.to_dict(job.spec)})
        (folder.path / "resolved.json").write_text(resolved or "")
        loss = 1.0 + (number % 97) / 970
        rows = [{"kind": "eval", "split": "val", "step": s, "loss": loss} for s in (1, 2, 3)]
        folder.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        metrics = {"test/loss": loss, "tokens_per_s": 1000.0}
        result = pg.Result(fingerprint=job.fingerprint, status="ok", seed=job.seed, metrics=metrics)
        (folder.path / "result.json").write_text(json.dumps(result.to_dict()))


def large_store(runs: int) -> Iterator[dict[str, Any]]:
    """Every verb that reads a whole store, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = sweep_of(folder, variants=max(1, runs // 100), seeds=100)
        spec = pg.load(file)
        assert isinstance(spec, pg.SweepSpec)
        store = pg.RunStore(folder / "runs")
        plan = plan_sweep(replace(spec, run=pg.EngineSpec()), "large", store)
        fill(store, plan)
        (folder / "sweeps" / "large").mkdir(parents=True)
        written = json.dumps(plan.to_dict())
        (folder / "sweeps" / "large" / "sweep.json").write_text(written)
        os.sync()  # what was just written would be flushed while we read
        verbs = (["sweep", str(file), "--dry-run"], ["report", "large"], ["status"])
        for verb in verbs:
            yield timed([*verb, "--out", str(folder)]) | {"runs": len(plan.jobs)}


def timed(words: list[str]) -> dict[str, Any]:
    """Seconds and peak MiB of a command."""
    began = time.perf_counter()
    code = (
        "import sys; from playground.__main__ import main\n"
        "try: main()\n"
        "finally:\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    peak = next(line.split()[1] for line in lines if line.startswith('VmHWM'))\n"
        "    print('peak', int(peak) // 1024, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    peak = int(done.stderr.rsplit("peak", 1)[-1])
    return {"verb": words[0], "seconds": seconds, "peak_mib": peak, "exit": done.returncode}


def measured(kinds: Sequence[str], runs: int, stored: int) -> Iterator[dict[str, Any]]:
    """One measurement after another, each said before it begins."""
    for kind in kinds:
        print(f"{runs} runs that train nothing, engine {kind} ...", file=sys.stderr)
        yield overhead(runs, kind)
    if stored:
        print(f"a store of {stored} finished runs: filled, then read ...", file=sys.stderr)
        yield from large_store(stored)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    kinds = ("local", "ray") if asked.ray else ("local",)
    found = []
    for row in measured(kinds if asked.runs else (), asked.runs, asked.stored):
        print(json.dumps(row), flush=True)
        found.append(row)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
