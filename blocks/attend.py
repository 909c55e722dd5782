"""Softmax attention over `[B, T, H, D]`, and which implementation computes it.

The choice is made once, when a module is built, and comes with its reason.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from blocks.attend_sdpa import sdpa, type_of
from blocks.attend_xformers import xformers, xformers_takes
from blocks.masks import Sight
from blocks.spec import AttentionSpec

Backend = Literal["sdpa", "flex", "xformers"]
Attend = Callable[[Tensor, Tensor, Tensor, Sight, float], Tensor]
"""(q [B, T, H, D], k [B, S, G, D], v [B, S, G, D], sight, dropout in [0, 1)) -> [B, T, H, D];
G divides H: H / G heads next to each other share a group's keys and values."""

_WHEN: dict[Backend, str] = {
    "flex": "flex for calls of 128 tokens and more; shorter ones, as in decoding, go through sdpa",
    "xformers": "xformers in fp16 and bf16 where no token is padding and for the start of a stream;"
    " else, as in decoding, sdpa",
}


def refuses(backend: Backend, spec: AttentionSpec, device: torch.device) -> str:
    """Why `backend` cannot run `spec` on `device`; empty if it can."""
    if backend == "sdpa":
        return ""
    if device.type != "cuda":
        has = "no backward pass on" if backend == "flex" else "no operators for"
        return f"it has {has} {device.type}"
    needed = {"flex": "triton", "xformers": "xformers"}[backend]
    if importlib.util.find_spec(needed) is None:
        return f"{needed} is not installed (pip install 'test-time-playground[{needed}]')"
    if backend == "xformers" and torch.cuda.is_available() and not _built_for_cuda():
        return "this xformers was built for another torch: its kernels cannot be loaded"
    if spec.dropout > 0.0:
        return f"it has no dropout, and dropout = {spec.dropout}"
    return ""


@cache
def _built_for_cuda() -> bool:
    """Whether xformers has kernels that fit the torch that is here."""
    from xformers import _cpp_lib

    return _cpp_lib._cpp_library_load_exception is None


def choose_backend(spec: AttentionSpec, device: torch.device | str) -> tuple[Backend, str]:
    """The backend that runs `spec` on `device`, and why.

    Raises:
        ValueError: a backend was asked for by name and cannot run; it says the reason.
    """
    device = torch.device(device)
    if spec.backend != "auto":
        if reason := refuses(spec.backend, spec, device):
            raise ValueError(
                f"backend: {spec.backend} cannot run on {device.type}: {reason}. "
                "Write backend: auto or sdpa."
            )
        when = _WHEN.get(spec.backend)
        return spec.backend, f"asked for by name; {when}" if when else "asked for by name"
    if reason := refuses("flex", spec, device):
        return "sdpa", f"not flex: {reason}"
    return "flex", _WHEN["flex"]


def make_attend(backend: Backend) -> Attend:
    """The function behind a backend's name; optional packages are imported here."""
    if backend == "flex":
        from blocks.attend_flex import flex

        return flex
    return xformers if backend == "xformers" else sdpa


def at_call(spec: AttentionSpec) -> Attend:
    """Attention that looks for its backend when it is called, and raises as `choose_backend`."""

    def attend(q: Tensor, k: Tensor, v: Tensor, sight: Sight, dropout: float) -> Tensor:
        return make_attend(choose_backend(spec, q.device)[0])(q, k, v, sight, dropout)

    return attend


def takes_windows(backend: Backend, q: Tensor, *, padded: bool) -> bool:
    """Whether a backend takes a long call within a window as it is; the others want it in folds."""
    flex = backend == "flex" and type_of(q) != torch.float64  # which goes to sdpa
    return flex or (backend == "xformers" and xformers_takes(q, padded=padded))
