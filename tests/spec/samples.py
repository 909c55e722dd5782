"""Specs that the tests of this folder start from, as plain data and as files."""

import copy
import json
from pathlib import Path

MODEL = {
    "kind": "model",
    "vocab": 256,
    "dim": 64,
    "depth": 2,
    "norm": "rms",
    "positions": "rope",
    "tie_embeddings": True,
    "persistent_tokens": 4,
    "block": {
        "kind": "mac",
        "segment_len": 64,
        "attention": {"heads": 4, "kv_heads": 2, "qk_norm": "rms", "dropout": 0.1},
        "memory": {
            "kind": "titans",
            "network": "mlp",
            "depth": 2,
            "expand": 4.0,
            "residual": True,
            "norm": "layer",
            "objective": "l2",
            "momentum": "token",
            "decay": "token",
            "lr": "token",
            "max_lr": 0.03,
            "anchor": "chunk",
            "chunk_size": 16,
            "start": "learned",
            "heads": 4,
            "conv": 4,
            "qk_norm": "l2",
            "activation": "silu",
            "gate": "norm_sigmoid",
        },
        "feedforward": {"kind": "swiglu", "expand": 2.5, "dropout": 0.0},
    },
}

HYBRID = {
    "kind": "model",
    "dim": 64,
    "depth": 4,
    "layers": {
        "pattern": "3M 1A",
        "M": {"kind": "lmm", "memory": {"kind": "delta", "max_lr": 0.5, "heads": 4}},
        "A": {"kind": "attention", "window_len": 32, "attention": {"heads": 4}},
        "at": {"0": {"kind": "conv", "width": 4}},
    },
}

TRAIN = {
    "steps": 100,
    "batch": 8,
    "accumulate": 1,
    "eval_every": 20,
    "eval_batches": 4,
    "checkpoint_every": 50,
    "log_every": 10,
    "optim": {
        "kind": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.1,
        "betas": [0.9, 0.95],
        "eps": 1e-8,
        "schedule": "cosine",
        "warmup": 0.05,
        "min_lr": 0.1,
        "clip": 1.0,
    },
}

RUN = {
    "kind": "run",
    "model": {key: value for key, value in MODEL.items() if key != "kind"},
    "task": {
        "kind": "text",
        "corpus": "python-stdlib",
        "tokenizer": "bytes",
        "length": 128,
        "stream_eval": True,
        "split": [0.8, 0.1, 0.1],
    },
    "train": TRAIN,
    "seed": 0,
    "device": "cpu",
    "dtype": "fp32",
    "lowering": "auto",
    "compile": False,
}

SWEEP = {
    "kind": "sweep",
    "base": "model.yaml",
    "task": {"kind": "mqar", "vocab": 128, "length": 32, "pairs": 2, "fillers": "random"},
    "train": {"steps": 10, "batch": 2, "optim": {"lr": 1e-3}},
    "baseline": "full",
    "variants": {
        "linear-memory": {"block.memory.network": "linear"},
        "no-conv": {"block.memory.conv": 0},
    },
    "seeds": 2,
    "report": {"metrics": ["test/loss"], "test": "none", "correct": "none", "formats": ["md"]},
    "run": {"engine": "local", "workers": 2, "retries": 1, "vectorize": "auto"},
}

BENCH = {
    "kind": "bench",
    "models": ["model.yaml"],
    "rules": ["delta", {"kind": "titans", "chunk_size": 8}],
    "paths": ["eager", "triton"],
    "modes": ["forward", "decode"],
    "shapes": {"batch": [1, 2], "length": [16], "heads": [2], "width": [8], "dtype": ["fp32"]},
    "gates": ["default", "weak"],
    "check": {"against": "recurrent", "tolerance": "auto"},
    "baseline": "eager",
    "peers": ["fla"],
    "repeats": 3,
    "warmup": 1,
    "empty_cache": False,
    "device": "cpu",
}

FILES = {
    "model.yaml": MODEL,
    "hybrid.yaml": HYBRID,
    "run.yaml": RUN,
    "sweep.yaml": SWEEP,
    "bench.yaml": BENCH,
}


def files() -> dict[str, dict]:
    """Fresh copies of all samples."""
    return copy.deepcopy(FILES)


def write(folder: Path, **texts: object) -> None:
    """Write files `name=text` or `name=data` as `name.yaml`."""
    for name, content in texts.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.yaml").write_text(text)


def write_samples(folder: Path) -> None:
    """Write every sample."""
    for name, content in FILES.items():
        (folder / name).write_text(json.dumps(content))
