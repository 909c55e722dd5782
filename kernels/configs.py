"""How kernels are started: one literal table, found ahead of time, never searched at run time.

An entry is for a kernel at a width and a chunk length on a GPU; ANY stands for all of them. What an
entry leaves out is said by the next one that is less specific, and last by `Config` itself.
Entries come from `python -m benchmarks.aot` (what spills no registers), later from measurements.
"""

from itertools import product
from typing import NamedTuple

ANY = None
STAGES = 1  # of loads ahead of products: registers are what these kernels are short of
Key = tuple[str, int | None, int | None, int | None]


class Config(NamedTuple):
    """How a program is run.

    warps: threads in groups of 32. stages: of loads ahead of products. block: what a program takes
    of the axis that a kernel cuts into blocks (value channels, or rows of gates).
    """

    warps: int = 4
    stages: int = STAGES
    block: int = 32


# kernel (ANY is ""), side of the tile that holds a head, chunk length, major capability of the GPU
CONFIGS: dict[Key, dict[str, int]] = {
    ("", 64, ANY, ANY): {"warps": 8},
    ("", 128, ANY, ANY): {"warps": 8},
    ("", 256, ANY, ANY): {"warps": 8},
    # gate_filter
    ("filter_fwd", ANY, ANY, ANY): {"block": 4},
    ("filter_bwd", ANY, ANY, ANY): {"block": 4},
    # channel_filter
    ("channels_fwd", ANY, ANY, ANY): {"warps": 4, "block": 1},
    ("channels_bwd", ANY, ANY, ANY): {"warps": 4, "block": 1},
    # weighted_scan
    ("weighted_states_fwd", ANY, ANY, 8): {"block": 16},
    ("weighted_states_fwd", 128, ANY, 10): {"warps": 4},
    ("weighted_states_bwd", ANY, ANY, 8): {"block": 16},
    # chunk_scan
    ("states_bwd", ANY, ANY, 8): {"block": 16},
    ("writes_bwd", ANY, ANY, 8): {"block": 16},
    ("reads_bwd", ANY, ANY, 10): {"block": 16},
}


def config_of(kernel: str, width: int, chunk: int, capability: int) -> Config:
    """The configuration of a kernel.

    Args:
        kernel: its name.
        width: the side of the tile that holds a head; 0 where there is none.
        chunk: tokens of a chunk.
        capability: major, of the GPU.
    """
    found: dict[str, int] = {}
    names, of_width, of_chunk = ("", kernel), (ANY, width), (ANY, chunk)
    for key in product(names, of_width, of_chunk, (ANY, capability)):  # least specific first
        found |= CONFIGS.get(key, {})
    return Config(**found)
