"""The kernels of `unit_solve` at the sizes that rules use."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import unit_solve_kernels
from kernels.launch import configured, kind_of, tile


def unit_solve_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size: V = 3 widths with momentum."""
    chunks, widths = ((16, 32, 64), (16, 32, 64, 128)) if every else ((64,), (64,))
    factors = (torch.bfloat16, torch.float32) if every else (torch.bfloat16,)
    for chunk in chunks:
        told = {"C": chunk, "BLOCK_C": tile(chunk), "JOINS": (chunk // 16).bit_length() - 1}
        told |= {"ACC": kind_of(torch.float32)}
        yield _case("inverse_fwd", f"C = {chunk}", told, 16, capability)
        for width, dtype in product(widths, factors):
            sizes = f"C = {chunk}, V = {3 * width}, {str(dtype).removeprefix('torch.')}"
            wide = told | {"V": 3 * width, "T": kind_of(dtype)}
            for name in ("apply_fwd", "system_bwd"):
                yield _case(name, sizes, wide | {"TURNED": True}, chunk, capability)


def _case(name: str, sizes: str, told: dict[str, Any], rows: int, capability: int) -> Case:
    config = configured(name, told, capability // 10)
    return Case(
        kernel=getattr(unit_solve_kernels, name),
        sizes=sizes,
        fixed=told | {"BLOCK_V": config.block},
        rows=rows,
        warps=config.warps,
        stages=config.stages,
    )
