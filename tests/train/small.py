"""Runs small enough to be trained in a test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from blocks.spec import Attention, AttentionSpec, FeedForwardSpec, Lmm, MemorySpec
from memory_rules import RULES
from playground.spec import ModelSpec, Mqar, OptimSpec, RunSpec, TrainSpec
from playground.train import Result, RunFolder, RunStore, train

TASK = Mqar(vocab=32, length=12, pairs=2, test_examples=8)
FEEDFORWARD = FeedForwardSpec(kind="gelu", expand=1.0, dropout=0.1)  # dropout: one more stream
ATTENTION = ModelSpec(
    vocab=32,
    dim=16,
    depth=1,
    persistent_tokens=1,
    block=Attention(attention=AttentionSpec(heads=2), feedforward=FEEDFORWARD),
)
MEMORY = ModelSpec(
    vocab=32,
    dim=16,
    depth=2,
    persistent_tokens=1,
    block=Lmm(
        memory=MemorySpec(rule=RULES["titans"](chunk_size=4, expand=1.0), heads=2, conv=2),
        feedforward=FEEDFORWARD,
    ),
)
TRAIN = TrainSpec(
    steps=12,
    batch=2,
    eval_every=6,
    eval_batches=1,
    checkpoint_every=3,
    log_every=2,
    optim=OptimSpec(lr=1e-2, warmup=2.0),
)
RUN = RunSpec(model=ATTENTION, task=TASK, train=TRAIN, compile=False, device="cpu")


def run_with(spec: RunSpec = RUN, **train_fields: Any) -> RunSpec:
    """The run with other fields of TrainSpec."""
    if train_fields.get("steps", spec.train.steps) < spec.train.optim.warmup:
        train_fields.setdefault("optim", replace(spec.train.optim, warmup=0.0))
    return replace(spec, train=replace(spec.train, **train_fields))


def trained(spec: RunSpec, store: Path) -> tuple[Result, RunFolder]:
    """Train; the result and its folder."""
    result = train(spec, store)
    return result, RunStore(store).run(result.fingerprint)


def losses(folder: RunFolder, kind: str = "train") -> dict[int, float]:
    """Step -> loss of the rows of one kind."""
    return {row["step"]: row["loss"] for row in folder.rows() if row["kind"] == kind}
