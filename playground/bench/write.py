"""Rows of a bench as lines of JSON, each with what it was measured on."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from playground.bench.row import Row
from playground.train import processor

PACKAGES = ("triton", "tensordict", "fla-core", "titans-pytorch", "xformers")


def stamp(device: str = "cpu", **more: object) -> dict[str, Any]:
    """Date, versions, threads and kind of processor; nothing that names the machine.

    Args:
        device: cpu or cuda.
        more: what else holds for all rows.
    """
    cuda = device == "cuda"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "processor": torch.cuda.get_device_name() if cuda else processor(),
        "threads": torch.get_num_threads(),
        "flush_denormal": True,
        **more,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def as_line(row: Row, about: dict[str, Any]) -> str:
    """One row as a line of JSON; about: from `stamp`."""
    return json.dumps(row.as_dict() | {"stamp": about}, allow_nan=False) + "\n"
