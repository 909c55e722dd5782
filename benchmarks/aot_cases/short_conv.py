"""The kernels of the fused convolution at the sizes that memory layers use."""

from collections.abc import Iterator
from itertools import product

import torch

from benchmarks.aot_cases.case import Case
from kernels import short_conv_kernels
from kernels.launch import kind_of
from kernels.short_conv import WARPS, power, tokens_of

PLACES = ("rank_ptr", "at_ptr", "count_ptr")


def short_conv_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every size."""
    widths = (16, 32, 64, 128, 256) if every else (64,)
    masks = (False, True) if every else (True,)
    for width, one, masked in product(widths, masks, masks):
        tokens = tokens_of(width) if one else 1
        for name in ("tokens_fwd", "tokens_bwd", "inputs_bwd"):
            told = {"M": 16 * width, "D": width, "WIDTH": 4, "MASKED": masked}
            told |= {"SILU": True, "UNIT": True, "ACC": kind_of(torch.float32)}
            told |= {"BLOCK_T": tokens, "BLOCK_D": power(width), "BLOCK_W": 4}
            yield Case(
                kernel=getattr(short_conv_kernels, name),
                sizes=f"head {width}, {tokens} tokens" + (", mask" if masked else ""),
                fixed=told | ({} if masked else dict.fromkeys(PLACES)),
                rows=1,
                warps=WARPS,
                types=dict.fromkeys(PLACES, "i32"),
            )
