"""Filters on a CPU by a compiled loop: what `lowering/filter_op.py` defines, table by table."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from playground.compile.native.program import HERE, TYPES, library


@cache
def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(library((HERE / "rows.cpp").read_text(encoding="utf-8"))))


def _call(name: str, gamma: Tensor, *tensors: Tensor | None) -> None:
    """Call a door with the sizes of `gamma` [..., C]; all tensors contiguous."""
    size = gamma.shape[-1]
    addresses = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]
    door = getattr(_loaded(), f"{TYPES[gamma.dtype]}_{name}")
    door(ctypes.c_long(gamma.numel() // size), ctypes.c_int(size), *addresses)


def forward(
    lr: Tensor, gamma: Tensor, eta: Tensor | None, live: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """memory, momentum [..., C, first + C], m, e [..., C]; the last three empty without eta."""
    lr, gamma = lr.contiguous(), gamma.contiguous()
    eta, live = (None if t is None else t.contiguous() for t in (eta, live))
    memory = lr.new_empty(*lr.shape, (1 if eta is None else 2) + lr.shape[-1])
    rest = [lr.new_empty(0) for _ in range(3)]
    if eta is not None:
        rest = [torch.empty_like(t) for t in (memory, lr, lr)]
    momentum, m, e = rest
    _call("forward", gamma, lr, gamma, eta, live, memory, momentum, m, e)
    return memory, momentum, m, e


def backward(
    gamma: Tensor,
    eta: Tensor | None,
    live: Tensor | None,
    memory: Tensor,
    momentum: Tensor | None,
    g_memory: Tensor,
    g_m: Tensor | None,
    g_e: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to lr, gamma and eta; the last empty without eta."""
    given = (gamma, eta, live, memory, momentum, g_memory, g_m, g_e)
    dense = [None if t is None else t.contiguous() for t in given]
    g_lr, g_gamma = (gamma.new_empty(gamma.shape) for _ in range(2))
    g_eta = gamma.new_empty(0 if eta is None else gamma.shape)
    _call("backward", gamma, *dense, g_lr, g_gamma, g_eta)
    return g_lr, g_gamma, g_eta
