"""The kernels of `channel_filter` and `weighted_scan` at the sizes that rules use."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import channel_filter_kernels, weighted_scan_kernels
from kernels.launch import configured, kind_of, tile

CHUNK = 16
FILTERS = ("channels_fwd", "channels_bwd")
SCANS = ("weighted_states_fwd", "weighted_states_bwd", "weighted_tokens_bwd")


def channel_gates_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size."""
    widths = (16, 32, 64, 128) if every else (64,)
    factors = (torch.bfloat16, torch.float32) if every else (torch.bfloat16,)
    both = (False, True) if every else (True,)
    for width, momentum in product(widths, both):
        sizes = {"C": CHUNK, "K": width, "V": width, "BLOCK_C": CHUNK, "BLOCK_K": tile(width)}
        told = sizes | {"MOMENTUM": momentum, "ACC": kind_of(torch.float32)}
        named = f"K = V = {width}{', momentum' if momentum else ''}"
        absent = () if momentum else ("eta_ptr", "live_ptr", "g_eta_ptr")
        gates = told | dict.fromkeys(absent) | {"MASKED": momentum, "BEFORE": False}
        for name in FILTERS:
            yield _case(channel_filter_kernels, name, named, gates, capability)
        for dtype, solved in product(factors, both):
            asked = {} if solved else dict.fromkeys(("w_ptr", "g_w_ptr"))
            full = told | asked | {"SOLVED": solved, "T": kind_of(dtype)}
            sized = f"{named}, {str(dtype).removeprefix('torch.')}"
            for name in SCANS:
                words = f"{sized}, class {'B' if solved else 'A'}"
                yield _case(weighted_scan_kernels, name, words, full, capability)
            if solved:
                yield _case(weighted_scan_kernels, "weighted_reads_fwd", sized, full, capability)


def _case(module: Any, name: str, sizes: str, told: dict[str, Any], capability: int) -> Case:
    config = configured(name, told, capability // 10)
    return Case(
        kernel=getattr(module, name),
        sizes=sizes,
        fixed=told | {"BLOCK_V": config.block, "BLOCK_P": config.block},
        rows=CHUNK,
        warps=config.warps,
        stages=config.stages,
    )
