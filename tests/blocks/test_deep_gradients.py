"""Gradients of memories of several matrices, over texts longer than a chunk."""

import torch
import torch.nn.functional as F

from playground.compile import compile as compile_model
from playground.spec import ModelSpec, convert


def gradient_norm(towards: str, length: int) -> float:
    """Of a model at its first weights with three matrices in a memory, over random bytes."""
    memory = {
        "kind": "titans",
        "depth": 3,
        "expand": 2.0,
        "heads": 2,
        "decay_towards": towards,
    }
    block = {"kind": "lmm", "memory": memory}
    raw = {"kind": "model", "vocab": 256, "dim": 32, "depth": 1, "block": block}
    model = compile_model(convert(ModelSpec, raw), device="cpu", compile=False, seed=0)
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(256, (2, 1, length), generator=generator)
    F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).backward()
    slopes = [p.grad.double() for p in model.parameters() if p.grad is not None]
    return float(torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt())


def test_gradients_of_a_deep_memory_do_not_grow_where_it_decays_to_its_start() -> None:
    assert gradient_norm("start", 512) < 2 * gradient_norm("start", 128)


def test_they_grow_with_length_where_it_decays_to_zero() -> None:
    """The paper's decay: the smaller the weights, the larger the slope of the norm over them."""
    assert gradient_norm("zero", 512) > 1000 * gradient_norm("zero", 128)
