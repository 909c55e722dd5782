"""What runs a memory's convolutions, the activation and the unit length after them."""

from blocks.short_conv import ShortConv, short_conv
from blocks.spec import MemorySpec
from kernels.launch import installed, interpreted
from playground.compile.lowering.triton import TRITON
from playground.compile.target import Target


def choose_short_conv(spec: MemorySpec, target: Target, lowering: str) -> tuple[str, str]:
    """`fused` or `torch`, and why.

    Args:
        spec: of the memory.
        target: where it will run.
        lowering: of its rule: one that asks for kernels asks for this one too.
    """
    if not spec.conv:
        return "torch", "no convolution"
    why = _refuses(target)
    if not why and lowering != TRITON.name:
        why = TRITON.by_name
    if why:
        return "torch", f"convolutions not fused: {why}"
    return "fused", "convolution, activation and unit length in one kernel"


def _refuses(target: Target) -> str:
    if target.device != "cuda" and not interpreted():
        return f"the kernel needs CUDA, target is {target.device}"
    here = target.capability is not None or target.device != "cuda"  # else a plan for elsewhere
    return "triton is not installed" if here and not installed() else ""


def short_conv_of(name: str) -> ShortConv:
    """The function of a choice."""
    if name == "torch":
        return short_conv
    from kernels.short_conv import short_conv as fused  # triton is an extra

    return fused
