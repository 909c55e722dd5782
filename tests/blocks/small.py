"""Small blocks and tokens in fp64, with weights that make every part matter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from blocks import BLOCK_MODULES, initialise
from blocks.block import Setting
from blocks.spec import AttentionSpec, BlockSpec, Lmm, Mac, Mag, Mal, MemorySpec
from memory_rules import RULES, AbstractMemoryRule

DIM, HEADS, PERSISTENT = 16, 2, 3
CHUNK, SEGMENT, WINDOW = 4, 8, 5
ATTENTION = AttentionSpec(heads=HEADS)


def memory_spec(rule: AbstractMemoryRule | None = None, **fields: Any) -> MemorySpec:
    """Titans with a two-layer memory, unless told otherwise."""
    titans = RULES["titans"](chunk_size=CHUNK, expand=1.5)
    return MemorySpec(rule=rule or titans, heads=HEADS, **fields)


SPECS: dict[str, Callable[[MemorySpec], BlockSpec]] = {
    "lmm": lambda m: Lmm(memory=m),
    "mac": lambda m: Mac(memory=m, attention=ATTENTION, segment_len=SEGMENT),
    "mag": lambda m: Mag(memory=m, attention=ATTENTION, window_len=WINDOW),
    "mag_shared": lambda m: Mag(memory=m, attention=ATTENTION, window_len=WINDOW, shared_qkv=True),
    "mal": lambda m: Mal(memory=m, attention=ATTENTION, window_len=WINDOW),
    "mal_inner": lambda m: Mal(
        memory=m, attention=ATTENTION, window_len=WINDOW, inner_residual=True
    ),
}


def make_block(
    kind: str,
    *,
    memory: MemorySpec | None = None,
    rope: bool = True,
    persistent_tokens: int = PERSISTENT,
    seed: int = 0,
    **fields: Any,
) -> nn.Module:
    """A block of one of SPECS; `fields` replace the block spec's own."""
    spec = replace(SPECS[kind](memory or memory_spec()), **fields)
    setting = Setting(dim=DIM, rope=rope, persistent_tokens=persistent_tokens)
    block = BLOCK_MODULES[spec.kind](spec, setting)
    initialise(block, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # norms of all ones and gates at their start would hide mistakes
        for name, p in block.named_parameters():
            if "norm" in name or name.endswith("bias"):
                p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return block.double()


def make_tokens(length: int, batch: int = 2, seed: int = 1) -> Tensor:
    """x [batch, length, DIM] in fp64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, DIM, generator=generator, dtype=torch.float64)
