"""How kernels are started: literal tables, found ahead of time, never searched at run time.

An entry is for a kernel at a width and a chunk length on a GPU; ANY stands for all of them. What an
entry leaves out is said by the next one that is less specific, and last by `Config` itself.
Entries come from `python -m benchmarks.aot` (what spills no registers), later from measurements.
"""

from itertools import product
from typing import NamedTuple

ANY = None
STAGES = 1  # of loads ahead of products: registers are what these kernels are short of
Key = tuple[str, int | None, int | None, int | None, bool | None]


class Config(NamedTuple):
    """How a program is run.

    warps: threads in groups of 32. stages: of loads ahead of products. block: what a program takes
    of the axis that a kernel cuts into blocks (value channels, or rows of gates).
    """

    warps: int = 4
    stages: int = STAGES
    block: int = 32


# kernel (ANY is ""), side of the tile that holds a head, chunk length, major capability of the GPU,
# whether factors have 32 bits or more
CONFIGS: dict[Key, dict[str, int]] = {
    ("", 64, ANY, ANY, ANY): {"warps": 8},
    ("", 128, ANY, ANY, ANY): {"warps": 8},
    ("", 256, ANY, ANY, ANY): {"warps": 8},
    # gate_filter
    ("filter_fwd", ANY, ANY, ANY, ANY): {"block": 4},
    ("filter_bwd", ANY, ANY, ANY, ANY): {"block": 4},
    # channel_filter
    ("channels_fwd", ANY, ANY, ANY, ANY): {"warps": 4, "block": 1},
    ("channels_bwd", ANY, ANY, ANY, ANY): {"warps": 4, "block": 1},
    # weighted_scan
    ("weighted_states_fwd", ANY, ANY, 8, ANY): {"block": 16},
    ("weighted_states_fwd", 128, ANY, 10, ANY): {"warps": 4},
    ("weighted_states_bwd", ANY, ANY, 8, ANY): {"block": 16},
    ("weighted_reads_fwd", ANY, ANY, 10, True): {"block": 16},
    # chunk_scan
    ("states_fwd", ANY, ANY, ANY, True): {"warps": 8, "block": 16},
    ("states_bwd", ANY, ANY, ANY, True): {"warps": 8, "block": 16},
    ("states_bwd", 128, ANY, 8, True): {"warps": 4, "block": 8, "stages": 2},
    ("states_bwd", ANY, ANY, 8, ANY): {"block": 16},
    ("states_bwd", 32, ANY, 9, False): {"warps": 8, "block": 32},
    ("states_bwd", 128, ANY, 9, False): {"warps": 8, "block": 16},
    ("reads_fwd", ANY, ANY, 10, True): {"block": 16},
    ("reads_bwd", ANY, ANY, 10, ANY): {"block": 16},
    ("writes_bwd", ANY, ANY, 8, ANY): {"block": 16},
    ("writes_bwd", 128, ANY, 10, True): {"block": 16},
}


def config_of(kernel: str, width: int, chunk: int, capability: int, wide: bool) -> Config:
    """The configuration of a kernel.

    Args:
        kernel: its name.
        width: the side of the tile that holds a head; 0 where there is none.
        chunk: tokens of a chunk.
        capability: major, of the GPU.
        wide: whether factors of products have 32 bits or more.
    """
    found: dict[str, int] = {}
    each = (ANY, width), (ANY, chunk), (ANY, capability), (ANY, wide)
    for key in product(("", kernel), *each):  # least specific first
        found |= CONFIGS.get(key, {})
    return Config(**found)


class Blocks(NamedTuple):
    """How a program that reads tokens in place is run: channels of a block, warps, stages."""

    K: int
    V: int
    warps: int
    stages: int


# kernel, side of the tile that holds keys; measured on an H200
BLOCKS: dict[tuple[str, int | None], dict[str, int]] = {
    ("decay_states_fwd", ANY): {"stages": 3},
    ("decay_states_fwd solved", 256): {"V": 32, "warps": 8},
    ("decay_states_bwd solved", ANY): {"warps": 8},
    ("decay_states_bwd solved", 256): {"V": 32},
    ("decay_reads_fwd", ANY): {"V": 128},
    ("decay_values_bwd", ANY): {"V": 128, "stages": 3},
    ("decay_keys_bwd", ANY): {"warps": 8},
    ("delta_system_fwd", ANY): {"stages": 3},
    ("delta_inverse_fwd", ANY): {"warps": 1},
    ("delta_writes_fwd", ANY): {"stages": 3},
    ("delta_writes_bwd", 256): {"K": 32},  # not measured: with 64 it spills where nothing decays
}


def blocks_of(kernel: str, keys: int, values: int) -> Blocks:
    """The blocks of a kernel, no wider than the tiles that hold keys and values."""
    found: dict[str, int] = {"K": 64, "V": 64, "warps": 4, "stages": 2}
    for of_keys in (ANY, keys):  # least specific first
        found |= BLOCKS.get((kernel, of_keys), {})
    how = Blocks(**found)
    return how._replace(K=min(how.K, keys), V=min(how.V, values))


# kernel of a deep memory, sides of the tiles that hold a chunk and a head, major capability of the
# GPU: what differs there from the rule that `kernels.deep_launch` has, because it spills registers
DEEP: dict[tuple[str, int, int, int], dict[str, int]] = {
    ("reads_fwd", 64, 128, 8): {"queries": 32},
    ("keys_bwd", 64, 128, 8): {"queries": 32},
    ("states_bwd", 64, 64, 8): {"hidden": 16},
    ("states_bwd", 32, 128, 8): {"hidden": 16},
    ("states_bwd", 64, 128, 8): {"hidden": 16, "sums": 32},
    ("queries_bwd", 32, 64, 9): {"hidden": 32},
    ("states_bwd", 128, 128, 9): {"hidden": 32, "sums": 32},
    ("keys_fwd", 32, 128, 10): {"warps": 4},
    ("keys_fwd", 64, 64, 10): {"hidden": 16},
    ("keys_fwd", 128, 64, 10): {"warps": 4},
    ("states_bwd", 16, 64, 10): {"hidden": 64},
    ("memories_bwd", 32, 128, 10): {"hidden": 32},
    ("hidden_bwd", 64, 64, 10): {"hidden": 16},
    ("hidden_bwd", 128, 64, 10): {"hidden": 64},
    ("queries_bwd", 128, 128, 10): {"hidden": 32},
}
