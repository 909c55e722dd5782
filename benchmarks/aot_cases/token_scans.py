"""The kernels of `decay_scan` and `delta_scan`, which read tokens of 16 bits in place."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from benchmarks.aot_cases.case import Case
from kernels import decay_scan_kernels, delta_scan_kernels
from kernels.assembler import HOPPER
from kernels.configs import blocks_of
from kernels.launch import tile
from kernels.tokens import CHUNK, key_of

DECAY = {
    "decay_states_fwd": ("w_ptr", "signal_ptr"),
    "decay_reads_fwd": (),
    "decay_states_bwd": ("k_ptr", "w_ptr", "g_signal_ptr"),
    "decay_values_bwd": (),
    "decay_keys_bwd": (),
}
SOLVED = ("decay_states_fwd", "decay_states_bwd")
DELTA = ("delta_system_fwd", "delta_writes_fwd", "delta_writes_bwd")
FLOATS = (
    "lr_ptr",
    "keep_ptr",
    "g_lr_ptr",
    "g_keep_ptr",
    "start_ptr",
    "after_ptr",
    "g_after_ptr",
    "g_start_ptr",
    "system_ptr",
)


def token_scans_cases(*, every: bool, capability: int) -> Iterator[Case]:
    """Representatives, or every width; on Hopper, where the lowering uses them."""
    if capability // 10 != HOPPER:
        return
    if not every:
        yield _decay("decay_states_bwd", 128, solved=True)
        yield _decay("decay_keys_bwd", 128, solved=False)
        return
    for width in (16, 32, 64, 128, 256):
        for name in DECAY:
            yield _decay(name, width, solved=False)
            if name in SOLVED:
                yield _decay(name, width, solved=True)
        for name, decayed in product(DELTA, (True, False)):
            told = _sizes(name, width) | {"DECAY": True, "DECAYED": decayed}
            yield _case(delta_scan_kernels, name, width, "" if decayed else ", met before", told)
    yield _case(delta_scan_kernels, "delta_inverse_fwd", 64, "", _sizes("delta_inverse_fwd", 64))


def _decay(name: str, width: int, *, solved: bool) -> Case:
    """With steps and a decay; the delta rule has its steps in what is written."""
    told = _sizes(key_of(name, solved), width)
    told |= {"DECAY": True, "STEP": not solved, "LATER": True}
    absent = ("lr_ptr",) if solved else DECAY[name]
    if solved:
        told |= {"BLOCK_K": tile(width)}
    told |= {"SOLVED": solved} | dict.fromkeys(absent)
    return _case(decay_scan_kernels, name, width, ", class B" if solved else "", told)


def _sizes(name: str, width: int) -> dict[str, Any]:
    how = blocks_of(name, tile(width), tile(width))
    sizes = {"C": CHUNK, "K": width, "V": width, "BLOCK_C": CHUNK}
    return sizes | {"BLOCK_K": how.K, "BLOCK_V": how.V, "how": how}


def _case(module: Any, name: str, width: int, note: str, told: dict[str, Any]) -> Case:
    how, kernel = told.pop("how"), getattr(module, name)
    pointers = [n for n in kernel.arg_names if n.endswith("_ptr")]
    return Case(
        kernel=kernel,
        sizes=f"K = V = {width}, bf16{note}",
        fixed=told,
        rows=16 if name == "delta_inverse_fwd" else min(CHUNK, told["BLOCK_K"]),
        warps=how.warps,
        stages=how.stages,
        types={n: "fp32" if n in FLOATS else "bf16" for n in pointers},
    )
