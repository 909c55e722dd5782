"""The kernels of `deep_chunk` at the sizes that the lowering accepts."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import deep_keys, deep_reads, deep_states, deep_writes
from kernels.deep_launch import settings
from kernels.launch import kind_of, tile
from playground.compile.lowering.triton_deep import longest

SEQUENTIAL = (deep_keys.keys_fwd, deep_states.states_bwd)
PARALLEL = (
    deep_reads.reads_fwd,
    deep_reads.hidden_bwd,
    deep_reads.queries_bwd,
    deep_reads.memories_bwd,
    deep_writes.keys_bwd,
    deep_writes.weights_bwd,
)
FACTORS = [
    "query_ptr",
    "key_ptr",
    "x_ptr",
    "asked_ptr",
    "d1_ptr",
    "d2_ptr",
    "own_ptr",
    "read_ptr",
    "met_ptr",
    "g_u_ptr",
    "g_y2_ptr",
    "g_z2_ptr",
]
HIDDEN = ["g_y1_ptr", "g_z1_ptr"]  # of one matrix: gradients to q and k, in full
DEEP = [
    "first_ptr",
    "slope_ptr",
    "bend_ptr",
    "curve_ptr",
    "bent_ptr",
    "d1_ptr",
    "own_ptr",
    "from_d1_ptr",
    "g_first_ptr",
    "g_u_ptr",
]
MOMENTUM = ("c_ptr", "e_ptr", "g_c_ptr", "g_e_ptr")


def deep_chunk_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size: chunk, width, expansion; a linear memory; no momentum."""
    chunks = [c for c in ((16, 32, 64, 128) if every else (64,)) if c <= longest(capability // 10)]
    widths, expansions = ((64, 128), (1, 2, 4)) if every else ((64,), (4,))
    for chunk, width, expand in product(chunks, widths, expansions):
        for kernel in (*SEQUENTIAL, *PARALLEL):
            yield from _modes(kernel, chunk, width, expand, capability)
    if every:
        for kernel in (*SEQUENTIAL, *PARALLEL):
            yield from _modes(kernel, 64, 64, 4, capability, momentum=False)
            if kernel not in (deep_reads.queries_bwd, deep_writes.keys_bwd):
                yield from _modes(kernel, 64, 64, 1, capability, deep=False)
    told = {"SIZE": 64 * 256, "MOMENTUM": True, "ACC": kind_of(torch.float32), "BLOCK": 1024}
    yield Case(kernel=deep_writes.ends_bwd, sizes="64 x 256", fixed=told, rows=0, warps=8)


def _modes(
    kernel: Any, chunk: int, width: int, expand: int, capability: int, **form: bool
) -> Iterator[Case]:
    """Forward, and what backward runs again."""
    sizes = (chunk, width, expand, capability)
    if kernel is deep_keys.keys_fwd:
        yield _case(kernel, *sizes, ", carries", CARRY=True, **form)
        yield _case(kernel, *sizes, ", again", CARRY=False, **form)
    elif kernel is deep_reads.reads_fwd:
        yield _case(kernel, *sizes, "", BACK=False, **form)
        yield _case(kernel, *sizes, ", again", BACK=True, **form)
    else:
        yield _case(kernel, *sizes, "", **form)


def _case(
    kernel: Any,
    chunk: int,
    width: int,
    expand: int,
    capability: int,
    note: str,
    *,
    momentum: bool = True,
    deep: bool = True,
    **mode: bool,
) -> Case:
    how = settings(kernel.__name__, chunk, width, torch.bfloat16, capability // 10)
    told: dict[str, Any] = mode | {
        "C": chunk, "K": width, "H": width * expand, "MOMENTUM": momentum, "DEEP": deep,
        "RESIDUAL": True, "NORM": True, "T": kind_of(torch.bfloat16),
        "ACC": kind_of(torch.float32), "BLOCK_C": tile(chunk), "BLOCK_K": tile(width),
        **how.tiles,
    }  # fmt: skip
    absent = [] if momentum else [*MOMENTUM]
    absent += [] if deep else DEEP
    named = f"chunk {chunk}, K = {width}, expand {expand}, bf16{note}"
    named += "" if momentum else ", no momentum"
    named += "" if deep else ", one matrix"
    return Case(
        kernel=kernel,
        sizes=named,
        fixed=told | dict.fromkeys(absent),
        rows=min(how.queries, tile(width)),
        warps=how.warps,
        types=dict.fromkeys(FACTORS + HIDDEN if deep else FACTORS, "bf16"),
    )
