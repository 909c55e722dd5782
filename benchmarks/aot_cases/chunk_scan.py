"""The kernels of `chunk_scan` at the sizes that rules use."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import chunk_scan_kernels
from kernels.launch import configured, kind_of, sides

CHUNK = 64


def chunk_scan_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size."""
    widths = (16, 32, 64, 128) if every else (64,)
    factors = (torch.bfloat16, torch.float32) if every else (torch.bfloat16,)
    both = (False, True) if every else (True,)
    for width, dtype, momentum, solved in product(widths, factors, both, both):
        sizes = {"C": CHUNK, "K": width, "V": width, **sides(CHUNK, width, dtype)}
        types = {"T": kind_of(dtype), "ACC": kind_of(torch.float32), "MOMENTUM": momentum}
        absent = {} if momentum else dict.fromkeys(("c_ptr", "e_ptr", "g_c_ptr", "g_e_ptr"))
        asked = {} if solved else dict.fromkeys(("w_ptr", "g_w_ptr"))
        told = {**sizes, **types, **absent, **asked, "SOLVED": solved}
        named = f"K = V = {width}, {str(dtype).removeprefix('torch.')}"
        named += ", momentum" if momentum else ""
        for name in ("states_fwd", "states_bwd", "writes_bwd"):
            yield _case(name, f"{named}, class {'B' if solved else 'A'}", told, capability)
        if solved:
            for name in ("reads_fwd", "signals_bwd", "scores_bwd", "reads_bwd"):
                yield _case(name, named, told, capability)


def _case(name: str, sizes: str, told: dict[str, Any], capability: int) -> Case:
    config = configured(name, told, capability // 10)
    return Case(
        kernel=getattr(chunk_scan_kernels, name),
        sizes=sizes,
        fixed={**told, "BLOCK_V": config.block},
        rows=min(told["BLOCK_C"], told["BLOCK_K"]),
        warps=config.warps,
        stages=config.stages,
    )
