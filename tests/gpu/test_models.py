"""Whole models on a GPU, compiled with kernels inside: logits, gradients, streams, in bf16."""

from pathlib import Path
from typing import cast

import pytest

import playground as pg
from blocks.attend import Backend
from playground.bench.model_gate import ModelOracle
from playground.bench.models import shape_of
from playground.bench.work import Mode
from playground.spec import ModelSpec
from tests.gpu.test_attention import skip_without

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's own, while it compiles for CUDA
SPECS = Path(__file__).parents[2] / "specs" / "models"
SMALL = ("dim=128", "depth=2", "vocab=64", "block.memory.heads=2")
KERNELS = ("titans_lmm", "titans_mac", "titans_mag", "titans_mal", "gated_delta", "gla")


def spec_of(name: str, *more: str) -> ModelSpec:
    return cast(ModelSpec, pg.load(SPECS / f"{name}.yaml", *SMALL, *more))


@pytest.mark.parametrize("mode", ["forward_backward", "decode"])
@pytest.mark.parametrize("name", KERNELS)
def test_models_with_kernels_are_the_recurrence(name: str, mode: Mode) -> None:
    spec = spec_of(name)
    oracle = ModelOracle(spec, shape_of(2, 131, "bf16"), device="cuda")
    model = pg.compile(spec, device="cuda", lowering="triton", seed=0)
    gate = oracle.check(model, mode, "cuda")
    assert gate.green, gate.reason


@pytest.mark.parametrize("backend", ["flex", "xformers"])
@pytest.mark.parametrize("name", ["titans_mac", "titans_mal"])
def test_attention_backends_inside_models(name: str, backend: Backend) -> None:
    skip_without(backend)
    spec = spec_of(name, f"block.attention.backend={backend}", "block.attention.heads=2")
    oracle = ModelOracle(spec, shape_of(2, 131, "bf16"), device="cuda")
    model = pg.compile(spec, device="cuda", lowering="chunked", compile=False, seed=0)
    gate = oracle.check(model, "forward_backward", "cuda")
    assert gate.green, gate.reason


def test_replayed_graphs_decode_the_same() -> None:
    spec = spec_of("gated_delta")
    oracle = ModelOracle(spec, shape_of(2, 64, "bf16"), device="cuda")
    model = pg.compile(spec, device="cuda", lowering="triton", mode="graphs", seed=0)
    gate = oracle.check(model, "decode", "cuda")
    assert gate.green, gate.reason
