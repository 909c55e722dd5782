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
    """Every kernel at one width or at all of them; on Hopper, where the lowering uses them."""
    if capability // 10 != HOPPER:
        return
    widths = (16, 32, 64, 128, 256) if every else (128,)
    for width, decay in product(widths, (True, False) if every else (True,)):
        for name in DECAY:
            yield _decay(name, width, solved=False, decay=decay)
            if name in SOLVED:
                yield _decay(name, width, solved=True, decay=decay)
            else:
                yield _decay(name, width, solved=False, decay=decay, step=False)
        for name, decayed in product(DELTA, (True, False)):
            told = _sizes(name, width) | {"DECAY": decay, "DECAYED": decayed}
            note = "" if decayed else ", met before"
            yield _case(delta_scan_kernels, name, width, note, told | _without(decay))
    yield _case(delta_scan_kernels, "delta_inverse_fwd", 64, "", _sizes("delta_inverse_fwd", 64))


def _decay(name: str, width: int, *, solved: bool, decay: bool, step: bool = True) -> Case:
    """With steps or none; the delta rule has its steps in what is written."""
    step = step and not solved
    told = _sizes(key_of(name, solved), width)
    told |= {"DECAY": decay, "STEP": step, "LATER": True}
    told |= {"BLOCK_K": tile(width)} if solved else {}
    absent = () if solved else DECAY[name]
    told |= {"SOLVED": solved} | dict.fromkeys(absent) | _without(decay)
    told |= {} if step else dict.fromkeys(("lr_ptr", "g_lr_ptr"))
    note = ", class B" if solved else "" if step else ", steps of 1"
    return _case(decay_scan_kernels, name, width, note, told)


def _without(decay: bool) -> dict[str, Any]:
    """Tensors that are not there if nothing decays."""
    return {} if decay else dict.fromkeys(("keep_ptr", "g_keep_ptr"))


def _sizes(name: str, width: int) -> dict[str, Any]:
    how = blocks_of(name, tile(width), tile(width))
    sizes = {"C": CHUNK, "K": width, "V": width, "BLOCK_C": CHUNK}
    return sizes | {"BLOCK_K": how.K, "BLOCK_V": how.V, "how": how}


def _case(module: Any, name: str, width: int, note: str, told: dict[str, Any]) -> Case:
    how, kernel = told.pop("how"), getattr(module, name)
    pointers = [n for n in kernel.arg_names if n.endswith("_ptr")]
    return Case(
        kernel=kernel,
        sizes=f"K = V = {width}, bf16{note}{'' if told.get('DECAY', True) else ', no decay'}",
        fixed=told,
        rows=16 if name == "delta_inverse_fwd" else min(CHUNK, told["BLOCK_K"]),
        warps=how.warps,
        stages=how.stages,
        types={n: "fp32" if n in FLOATS else "bf16" for n in pointers},
    )
