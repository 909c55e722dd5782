"""The kernels of `gate_filter` at the chunk lengths that lowerings use."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import gate_filter_kernels
from kernels.launch import configured, kind_of, tile


def gate_filter_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size."""
    chunks = (16, 32, 64, 128) if every else (64,)
    both = (False, True) if every else (True,)
    for chunk, momentum in product(chunks, both):
        absent = (
            ()
            if momentum
            else ("eta", "live", "c", "m", "e", "g_c", "g_m", "g_e", "g_eta", "table")
        )
        told: dict[str, Any] = {"C": chunk, "BLOCK_C": tile(chunk), "MASKED": momentum}
        told |= {"MOMENTUM": momentum, "ACC": kind_of(torch.float32)}
        told |= dict.fromkeys(f"{name}_ptr" for name in absent)
        for name in ("filter_fwd", "filter_bwd"):
            config = configured(name, told, capability // 10)
            yield Case(
                kernel=getattr(gate_filter_kernels, name),
                sizes=f"C = {chunk}{', momentum' if momentum else ''}",
                fixed=told | {"BLOCK_P": config.block},
                rows=0,  # no products
                warps=config.warps,
                stages=config.stages,
            )
