"""Small blocks and tokens in fp64, with weights that make every part matter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from blocks import BLOCK_MODULES, initialise
from blocks.block import Setting
from blocks.model import Model
from blocks.spec import AttentionSpec, BlockSpec, Lmm, Mac, Mag, Mal, MemorySpec
from memory_rules import RULES, AbstractMemoryRule, Scan, recurrent
from playground.compile.lowering.chunked import CHUNKED

DIM, HEADS, PERSISTENT = 16, 2, 3
CHUNK, SEGMENT, WINDOW = 4, 8, 5
VOCAB = 19
ATTENTION = AttentionSpec(heads=HEADS)


def memory_spec(rule: AbstractMemoryRule | None = None, **fields: Any) -> MemorySpec:
    """Titans with a two-layer memory, unless told otherwise."""
    titans = RULES["titans"](chunk_size=CHUNK, expand=1.5)
    return MemorySpec(rule=rule or titans, heads=HEADS, **fields)


SPECS: dict[str, Callable[[MemorySpec], BlockSpec]] = {
    "lmm": lambda m: Lmm(memory=m),
    "mac": lambda m: Mac(memory=m, attention=ATTENTION, segment_len=SEGMENT),
    "mac_inner": lambda m: Mac(
        memory=m, attention=ATTENTION, segment_len=SEGMENT, inner_residual=True
    ),
    "mag": lambda m: Mag(memory=m, attention=ATTENTION, window_len=WINDOW),
    "mag_shared": lambda m: Mag(memory=m, attention=ATTENTION, window_len=WINDOW, shared_qkv=True),
    "mal": lambda m: Mal(memory=m, attention=ATTENTION, window_len=WINDOW),
    "mal_inner": lambda m: Mal(
        memory=m, attention=ATTENTION, window_len=WINDOW, inner_residual=True
    ),
}


# every form that needs no GPU, and the scan of a rule in it
SCANS: dict[str, Callable[[AbstractMemoryRule], Scan]] = {
    "recurrent": lambda rule: recurrent,
    "chunked": lambda rule: CHUNKED.bind(rule, False),
}


def make_block(
    kind: str,
    *,
    memory: MemorySpec | None = None,
    scan: str = "recurrent",
    rope: bool = True,
    persistent_tokens: int = PERSISTENT,
    seed: int = 0,
    **fields: Any,
) -> nn.Module:
    """A block of one of SPECS, its memory run by one of SCANS; `fields` replace the spec's own."""
    memory = memory or memory_spec()
    spec = replace(SPECS[kind](memory), **fields)
    setting = Setting(
        dim=DIM, rope=rope, persistent_tokens=persistent_tokens, scan=SCANS[scan](memory.rule)
    )
    block = BLOCK_MODULES[spec.kind](spec, setting)
    initialise(block, seed)
    stir(block, seed)
    return block.double()


def make_model(kind: str, *, depth: int = 2, seed: int = 0, **fields: Any) -> Model:
    """A whole model of `depth` such blocks in fp64: tokens in, logits out."""
    blocks = [make_block(kind, **fields) for _ in range(depth)]
    model = Model(blocks, vocab=VOCAB, dim=DIM)
    initialise(model, seed)
    stir(model, seed)
    return model.double()


def stir(module: nn.Module, seed: int) -> None:
    """Norms of all ones and gates at their start would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if "norm" in name or name.endswith("bias"):
                p.add_(0.2 * torch.randn(p.shape, generator=generator))


def make_tokens(length: int, batch: int = 2, seed: int = 1) -> Tensor:
    """x [batch, length, DIM] in fp64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, DIM, generator=generator, dtype=torch.float64)
