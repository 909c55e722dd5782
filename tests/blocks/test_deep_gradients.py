"""Gradients of memories of several matrices, over texts longer than a chunk."""

import pytest
import torch
import torch.nn.functional as F

from playground.compile import compile as compile_model
from playground.spec import ModelSpec, convert


def gradient_norm(length: int, **fields: str) -> float:
    """Of a model at its first weights with three matrices in a memory, over random bytes."""
    memory = {"kind": "titans", "depth": 3, "expand": 2.0, "heads": 2, **fields}
    block = {"kind": "lmm", "memory": memory}
    raw = {"kind": "model", "vocab": 256, "dim": 32, "depth": 1, "block": block}
    model = compile_model(convert(ModelSpec, raw), device="cpu", compile=False, seed=0)
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(256, (2, 1, length), generator=generator)
    F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).backward()
    slopes = [p.grad.double() for p in model.parameters() if p.grad is not None]
    return float(torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt())


@pytest.mark.parametrize(
    "fields", [{"decay_towards": "start"}, {"norm": "none"}, {"decay": "none"}]
)
def test_gradients_of_a_deep_memory_do_not_grow_with_length(fields: dict[str, str]) -> None:
    assert gradient_norm(512, **fields) < 2 * gradient_norm(128, **fields)


def test_they_grow_where_a_memory_with_a_norm_decays_to_zero() -> None:
    """The paper's decay, and our default; what changes here is to change the docs."""
    assert gradient_norm(512) > 1000 * gradient_norm(128)
