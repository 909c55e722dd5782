"""The kernels of decoding at the sizes that rules use; they have no products of tiles."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.aot_cases.case import Case
from kernels import decode_deep_kernels, decode_kernels
from kernels.decode import VALUES, power
from kernels.decode import WARPS as TOKEN_WARPS
from kernels.decode_deep import PROGRAMS, WARPS, spanned
from kernels.launch import kind_of

TYPES = {"mask_ptr": "i1", "position_ptr": "i64"}


def decode_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size."""
    widths = (16, 64, 128) if every else (64,)
    asked = (1, PROGRAMS // 16) if every else (1,)
    for width in widths:
        for side in (0, 1, 2) if every else (0,):
            yield _token(width, side)
        for expand in (0, 1, 4) if every else (4,):
            inside = width * max(expand, 1)
            for step, span in {spanned(width, inside, width, s): None for s in asked}:
                yield _deep(width, expand, step, span)
        yield _sum(width)


def _token(width: int, side: int) -> Case:
    told = _told(width) | {"SQUARED": True, "DECAYED": False, "BLOCK_V": min(VALUES, power(width))}
    return Case(
        kernel=decode_kernels.token_step,
        sizes=f"K = V = {width}, momentum, side {side}",
        fixed=told | {"SIDE": side, "RESIDUAL": False, "start_ptr": None, "mask_ptr": None},
        rows=1,
        warps=TOKEN_WARPS,
        types=TYPES,
    )


def _deep(width: int, expand: int, step: int, span: int) -> Case:
    inside = width * max(expand, 1)
    programs = -(-inside // span)
    named = f"K = V = {width}, {expand} x hidden, momentum, {programs} program"
    absent = ["start1_ptr", "start2_ptr", "mask_ptr"]
    if not expand:
        names = ("memory", "momentum", "anchor", "lr", "keep", "eta")
        absent += [f"{name}1_ptr" for name in names]
        absent += [f"{name}1_out_ptr" for name in names[:3]]
    sizes = {"D": inside, "SPAN": span, "DEEP": expand > 0, "BLOCK_D": step, "DELTA": 0.0}
    return Case(
        kernel=decode_deep_kernels.chunk_token_step,
        sizes=named + "s" * (programs > 1),
        fixed=_told(width) | sizes | dict.fromkeys(absent),
        rows=1,
        warps=WARPS,
        types=TYPES,
    )


def _sum(width: int) -> Case:
    return Case(
        kernel=decode_deep_kernels.spans_sum,
        sizes=f"V = {width}, 8 spans",
        fixed=_told(width) | {"SPANS": 8},
        rows=1,
        warps=1,
    )


def _told(width: int) -> dict[str, Any]:
    sizes = {"K": width, "V": width, "BLOCK_K": power(width), "BLOCK_V": power(width)}
    choices = {"MOMENTUM": True, "TOWARDS": False, "MASKED": False, "AFTER": True, "SIDE": 0}
    choices |= {"NORM": True, "RESIDUAL": True, "OBJECTIVE": 0, "ACC": kind_of(torch.float32)}
    return sizes | choices
