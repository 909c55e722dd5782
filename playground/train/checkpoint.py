"""Checkpoints: tensors as safetensors, numbers as JSON with the tensors' checksum, the last two.

The JSON file is written after the tensors and holds their sha256, so that a checkpoint counts
only when both are whole; one that does not is passed over for the one before it.
"""

import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from playground.files import replace_file, write_json

log = logging.getLogger(__name__)

KEEP = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a run stood after `step` optimizer steps.

    Attributes:
        tensors: weights, buffers and optimizer state by name.
        numbers: what else the loop carries, JSON-ready.
    """

    step: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file in one move.

    Raises:
        OSError: it cannot be written, as where the disk is full; nothing is left of it.
    """

    def write(part: Path) -> None:
        try:
            save_file(dict(tensors), str(part))
        except SafetensorError as error:  # says the system's number in words only
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from None

    replace_file(path, write)


class Checkpoints:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop all but the last two; the path of its tensors."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: tensor.detach().to("cpu").contiguous().clone()  # shared storage is refused
            for name, tensor in checkpoint.tensors.items()
        }
        path = self._tensors(checkpoint.step)
        write_tensors(path, tensors)
        write_json(
            path.with_suffix(".json"),
            {"step": checkpoint.step, "sha256": _sha(path), "numbers": dict(checkpoint.numbers)},
        )
        self._drop_old()
        return path

    def steps(self) -> list[int]:
        """Steps of the checkpoints that look complete, ascending."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("*.json"))

    def load(self, newest: int | None = None) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint, None if there is none, and why newer ones were passed over.

        Tensors come back on the CPU.

        Args:
            newest: look at steps up to this one only; None for all.
        """
        notes: list[str] = []
        for step in reversed([s for s in self.steps() if newest is None or s <= newest]):
            try:
                return self._read(step), notes
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                notes.append(f"checkpoint of step {step} is damaged ({error}) and is passed over")
                log.warning("%s: %s", self.folder, notes[-1])
        return None, notes

    def drop_after(self, step: int) -> None:
        """Forget checkpoints of later steps: training goes on from `step` and makes its own."""
        for later in self.steps():
            if later > step:
                self._drop(later)

    def _read(self, step: int) -> Checkpoint:
        path = self._tensors(step)
        meta = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if _sha(path) != meta["sha256"]:
            raise ValueError("checksum differs")
        with torch.device("cpu"):
            tensors = load_file(str(path))
        return Checkpoint(step=int(meta["step"]), tensors=tensors, numbers=meta["numbers"])

    def _tensors(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"

    def _drop_old(self) -> None:
        for step in self.steps()[:-KEEP]:
            self._drop(step)

    def _drop(self, step: int) -> None:
        path = self._tensors(step)
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
