"""What every kernel needs to be started: tiles, types, and where it can run at all."""

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

SMALLEST = 16  # side of a tile in a product
STAGES = 1  # of loads ahead of products: registers are what these kernels are short of


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU; set before triton is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed() -> bool:
    """Whether triton is there; it is an extra."""
    return importlib.util.find_spec("triton") is not None


def tile(size: int) -> int:
    """The side of the tile that holds so many."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


def kind_of(dtype: torch.dtype) -> object:
    """What Triton calls a type."""
    import triton.language as tl

    return getattr(tl, str(dtype).removeprefix("torch."))


def check_types(factors: torch.dtype, *tensors: Tensor | None) -> None:
    """Refuse what a kernel would compute wrongly without a word.

    Raises:
        TypeError: types differ, or are bf16 in the interpreter, whose products of it are wrong.
    """
    types = {t.dtype for t in tensors if t is not None}
    if len(types) > 1:
        raise TypeError(f"one dtype is needed, not {', '.join(sorted(map(str, types)))}")
    if interpreted() and torch.bfloat16 in {factors, *types}:
        raise TypeError("Triton's interpreter computes bf16 wrongly; use fp32 or fp16 there")


def launch(kernel: Any, programs: int, *tensors: Tensor | None, values: bool = False, **sizes: Any):
    """Start a kernel.

    Args:
        kernel: takes the tensors, and of the sizes those it names.
        programs: how many there are.
        tensors: in its order; None for one that is not there.
        values: whether there is a program for every block of value channels.
        sizes: V among them.
    """
    device = tensors[0].device  # pyright: ignore
    capability = torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else 9
    block = value_block(kernel.__name__, sizes["V"], capability)
    told = {name: sizes[name] for name in kernel.arg_names if name in sizes} | {"BLOCK_V": block}
    blocks = -(-sizes["V"] // block) if values else 1
    kernel[programs, blocks](*tensors, **told, num_warps=warps(sizes["K"]), num_stages=STAGES)


# Found by `python -m benchmarks.aot`: what spills no registers.


def warps(width: int) -> int:
    """Of a program whose tiles are so wide."""
    return 8 if width >= 64 else 4


def value_block(kernel: str, width: int, capability: int) -> int:
    """Value channels of a program, or of one step of it, by the GPU's major capability."""
    narrow = kernel in {8: ("states_bwd", "writes_bwd"), 10: ("reads_bwd",)}.get(capability, ())
    return min(16 if narrow else 32, tile(width))
