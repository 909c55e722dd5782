"""What every kernel needs to be started: tiles, types, and where it can run at all."""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kernels.assembler import HOPPER
from kernels.configs import Config, config_of

SMALLEST = 16  # side of a tile in a product
WIDEST = 128  # channels of a head's keys that a program holds: wider ones spill registers
AT_ONCE = 16  # BLOCK_P of the interpreter, which runs one program after another


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU; set before triton is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed() -> bool:
    """Whether triton is there; it is an extra."""
    return importlib.util.find_spec("triton") is not None


def tile(size: int) -> int:
    """The side of the tile that holds so many."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


def sides(C: int, K: int, factors: torch.dtype) -> dict[str, int]:
    """The sides of tiles of a chunk's tokens and a head's keys, and of parts of these."""
    block_c, block_k = tile(C), tile(K)
    part_c, part_k = block_c, 64
    if factors.itemsize >= 4:
        part_c, part_k = (16 if block_k == 64 else 32), 32  # what spills no registers
    parts = {"PART_C": min(block_c, part_c), "PART_K": min(block_k, part_k)}
    return {"BLOCK_C": block_c, "BLOCK_K": block_k, **parts}


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


def capability_of(device: torch.device) -> int:
    """Major, of a GPU; that of Hopper where there is none."""
    return torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else HOPPER


def launch(kernel: Any, programs: int, *tensors: Tensor | None, values: bool = False, **sizes: Any):
    """Start a kernel in the configuration that `kernels.configs` has for it.

    Args:
        kernel: takes the tensors, and of the sizes those it names; BLOCK_V or BLOCK_P, how much
            of V or of the programs one of them takes, is the table's.
        programs: how many there are, before blocks of BLOCK_P.
        tensors: in its order; None for one that is not there.
        values: whether there is a program for every block of value channels.
        sizes: C among them, K and V where there is a head.

    Raises:
        ValueError: a head that is too wide for a program.
    """
    name, width = kernel.__name__, sizes.get("K", 0)
    if width > WIDEST:
        raise ValueError(f"{name}: no kernel for heads wider than {WIDEST}, this one has {width}")
    device = tensors[0].device  # pyright: ignore
    config = configured(name, sizes, capability_of(device))
    told = {size: sizes[size] for size in kernel.arg_names if size in sizes}
    if "BLOCK_V" in kernel.arg_names:
        told["BLOCK_V"] = config.block
    if "BLOCK_P" in kernel.arg_names:
        told["BLOCK_P"] = AT_ONCE if interpreted() else config.block
        programs = -(-programs // told["BLOCK_P"])
    blocks = -(-sizes["V"] // config.block) if values else 1
    kernel[programs, blocks](*tensors, **told, num_warps=config.warps, num_stages=config.stages)


def configured(kernel: str, sizes: Mapping[str, Any], capability: int) -> Config:
    """The entry of the table for a kernel at these sizes; a block no wider than its axis."""
    width = tile(sizes["K"]) if "K" in sizes else 0
    wide = "T" in sizes and sizes["T"].primitive_bitwidth >= 32
    found = config_of(kernel, width, sizes["C"], capability, wide)
    return found._replace(block=min(found.block, tile(sizes["V"]))) if "V" in sizes else found
