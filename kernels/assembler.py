"""Which ptxas assembles the kernels, where one is known to assemble them wrongly.

A product of tiles on Hopper reads its left factor from registers while later instructions run
already. The ptxas of CUDA before 13.3 gives these registers away too early: numbers and addresses
are wrong then, depending on what runs when. Triton 3.6 and 3.7 bring that of CUDA 12.8.
"""

import importlib.util
import os
from pathlib import Path

HOPPER = 9  # major capability
RIGHT = (13, 3)  # the first CUDA whose ptxas waits
PACKAGE = "nvidia-cuda-nvcc"
FIX = (
    f"pip install '{PACKAGE}>={RIGHT[0]}.{RIGHT[1]}', or let TRITON_PTXAS_PATH name such a ptxas,"
    " or set DISABLE_MMA_V3=1 (slower)"
)


def wrong_on(capability: int) -> str:
    """Why kernels would be wrong on a GPU; "" if they are right.

    Where Triton's own ptxas is too old and the package is there, Triton is told to use that one,
    for all it compiles in this process.

    Args:
        capability: major, of the GPU.
    """
    if capability != HOPPER or os.environ.get("DISABLE_MMA_V3", "").lower() in ("1", "true", "on"):
        return ""
    from triton import knobs  # triton is an extra

    version = knobs.nvidia.ptxas.version
    if _number(version) >= RIGHT:
        return ""
    other = _packaged()
    if other is not None and "TRITON_PTXAS_PATH" not in os.environ:
        os.environ["TRITON_PTXAS_PATH"] = str(other)
        _forget_version()
        return wrong_on(capability)
    return f"ptxas {version} assembles products on Hopper wrongly: {FIX}"


def _forget_version() -> None:
    """What Triton has kept of the other's version: it is in the names of cached programs."""
    from triton.backends.nvidia import compiler

    for kept in (compiler.get_ptxas_version, compiler.CUDABackend.hash):
        kept.cache_clear()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _packaged() -> Path | None:
    """The ptxas that the package brings."""
    try:
        found = importlib.util.find_spec("nvidia.cu13")
    except ModuleNotFoundError:
        return None
    folders = [] if found is None else found.submodule_search_locations or []
    files = (Path(folder) / "bin" / "ptxas" for folder in folders)
    return next((file for file in files if file.exists()), None)
