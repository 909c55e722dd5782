"""What a plan is made for: a device, a precision, and whether torch.compile is around it."""

from dataclasses import dataclass

import torch

from playground.spec import Compile, CompileMode


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a model will run.

    device: cpu or cuda; place: which of several, such as cuda:1, None for the first;
    dtype: of activations; capability: (major, minor) of a GPU, else None;
    compile: whether bodies go through torch.compile, or loops over chunks alone are compiled;
    graphs: whether bodies are replayed as CUDA graphs.
    """

    device: str = "cpu"
    place: str | None = None
    dtype: torch.dtype = torch.float32
    capability: tuple[int, int] | None = None
    compile: Compile = True
    graphs: bool = False

    @classmethod
    def of(
        cls,
        device: str = "auto",
        *,
        dtype: torch.dtype = torch.float32,
        compile: Compile = True,
        mode: CompileMode = "default",
    ) -> "Target":
        """The target a device name means; `auto` takes a GPU if torch can use one."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = torch.device(device).type
        found = kind == "cuda" and torch.cuda.is_available()
        capability = torch.cuda.get_device_capability(device) if found else None
        return cls(
            device=kind,
            place=device,
            dtype=dtype,
            capability=capability,
            compile=compile,
            graphs=mode == "graphs",
        )
