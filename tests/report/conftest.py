"""A sweep and a run store made by hand: good, failed, diverged and missing runs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from playground.report.build import build
from playground.report.sweep import Sweep

SEEDS = (0, 1, 2)
# variant -> what it adds to the loss of the baseline with the same seed
EFFECTS = {"full": 0.0, "no-momentum": 0.12, "no-decay": 0.002, "mac": -0.05, "broken": 0.3}
FLOOR = 2.41
BEGAN = 1.7e9  # seconds since 1970; all runs began as one program


class Store:
    """Writes what a sweep leaves behind."""

    def __init__(self, root: Path) -> None:
        self.runs = root / "runs"
        self.sweep = root / "sweeps" / "table5"
        self.sweep.mkdir(parents=True)
        self.variants: dict[str, dict[str, Any]] = {}

    def plan(self, variant: str, seed: int, **overrides: Any) -> Path:
        """A planned run; returns where its folder would be."""
        entry = self.variants.setdefault(variant, {"overrides": overrides, "runs": []})
        fingerprint = f"{variant}-{seed}".ljust(64, "0")
        entry["runs"].append({"seed": seed, "fingerprint": fingerprint})
        return self.runs / fingerprint

    def finish(self, folder: Path, loss: float, params: int = 1_000_000, **fields: Any) -> None:
        """A result with metrics, and a learning curve that ends in it."""
        self.curve(folder, loss)
        result = {
            "status": "ok",
            "reason": None,
            "metrics": {
                "test/loss": loss,
                "test/bits_per_byte": loss / math.log(2),
                "tokens_per_s": 12_345.0 - 1e-4 * params,
            },
            "floors": {"unigram": 3.1, "bigram": FLOOR},
            "params": params,
            "state_bytes": 96 * 1024,
            "flops_per_token": 6_400_000,
            "tokens": 320_000,
            "wall_s": 61.0,
            "began": BEGAN,
            "ended": BEGAN + 61.0,
        }
        (folder / "result.json").write_text(json.dumps(result | fields))

    def curve(self, folder: Path, loss: float, until: int = 10) -> None:
        """Evaluations at ten steps."""
        folder.mkdir(parents=True)
        rows: list[dict[str, Any]] = [{"kind": "train", "step": 1, "loss": 5.5}]
        rows += [
            {
                "kind": "eval",
                "split": "val",
                "step": 20 * i,
                "tokens": 32_000 * i,
                "loss": loss + 2.5 * math.exp(-i / 2),
                "bits_per_byte": 2.0,
            }
            for i in range(1, until + 1)
        ]
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / "metrics.jsonl").write_text(lines + "\n")

    def save(self, **fields: Any) -> None:
        """Write sweep.json."""
        plan = {
            "name": "table5",
            "baseline": "full",
            "variants": self.variants,
            "task": {"task": "text", "corpus": "python-stdlib", "sha256": "ab" * 32},
            "report": {
                "metrics": ["test/loss", "test/bits_per_byte", "tokens_per_s"],
                "formats": ["md", "html", "csv"],
            },
        }
        (self.sweep / "sweep.json").write_text(json.dumps(plan | fields))

    def costing(self, numbers: dict[str, tuple[float, float, float]], **fields: Any) -> Sweep:
        """Variants with (loss, tokens/s, state bytes), two seeds each."""
        for name, (loss, speed, state) in numbers.items():
            for seed in (0, 1):
                metrics = {"test/loss": loss + 0.01 * seed, "tokens_per_s": speed}
                self.finish(
                    self.plan(name, seed, key=name),
                    loss,
                    metrics={key: value for key, value in metrics.items() if value},
                    state_bytes=state,
                    flops_per_token=1e9 / (speed or 1e6),
                )
        self.save(**fields)
        return build(self.sweep, self.runs).sweep


def fill(store: Store, seeds: tuple[int, ...] = SEEDS) -> None:
    """The usual sweep: `broken` has one run of each way to be lost, `absent` never ran."""
    rng = np.random.default_rng(0)
    per_seed = {seed: 1.95 + 0.03 * rng.standard_normal() for seed in seeds}
    for name, effect in EFFECTS.items():
        for seed in seeds:
            folder = store.plan(name, seed, **{"block.memory.x": name})
            loss = per_seed[seed] + effect + 0.004 * rng.standard_normal()
            if name != "broken" or seed > 2:
                store.finish(folder, loss, params=1_000_000 + 20_000 * len(name))
            elif seed == 0:
                store.curve(folder, loss, until=4)
                failed = {"status": "failed", "reason": "NaN loss at step 93 in layers.0.memory"}
                (folder / "result.json").write_text(json.dumps(failed))
            elif seed == 1:
                store.finish(folder, math.nan)
            else:
                store.curve(folder, loss, until=6)
    for seed in seeds:
        store.plan("absent", seed, depth=3)


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def store(empty: Store) -> Store:
    fill(empty)
    empty.save()
    return empty


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The usual sweep, only to be read."""
    made = Store(tmp_path_factory.mktemp("sweep"))
    fill(made)
    made.save()
    return made


@pytest.fixture
def eight(empty: Store) -> Store:
    """The usual sweep with eight seeds."""
    fill(empty, tuple(range(8)))
    empty.save()
    return empty
