"""What a run is computed on: its device, and a record of versions and threads."""

import platform
import sys
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from playground.errors import SpecError

PACKAGES = ("test-time-playground", "torch", "tensordict", "numpy", "safetensors")


def pick_device(name: str) -> torch.device:
    """The device a spec names; auto is CUDA where there is one, else the CPU.

    A GPU that is named becomes the process' current one.

    Raises:
        SpecError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device.type in there and not there[device.type]():
        raise SpecError("device", f"{name} is not available here.", fix="Write cpu or auto.")
    if device.index is not None and device.type == "cuda":
        if device.index >= torch.cuda.device_count():
            fix = f"There are {torch.cuda.device_count()}, from cuda:0."
            raise SpecError("device", f"{name} is not available here.", fix=fix)
        torch.cuda.set_device(device)  # kernels are started on the current GPU
    return device


def autocast(dtype: str, device: torch.device) -> AbstractContextManager[object]:
    """bf16 matrix products where a run's dtype says so; fast weights stay fp32 by themselves."""
    lower = precision(dtype, device) == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=lower)


def precision(dtype: str, device: torch.device) -> str:
    """What a run's dtype means on a device: fp32, bf16 or fp64."""
    if dtype == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return dtype


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, threads and kind of processor, JSON-ready; nothing that names the machine."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "implementation": sys.implementation.name,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "device": device.type,
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def processor() -> str:
    """The kind, and the widest vectors that torch uses on it: last digits go with both."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
