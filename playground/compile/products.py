"""Large products of compiled graphs on those CPUs where torch's library leaves half of a core idle.

MKL, which multiplies for torch on x86, uses 512-bit units on Intel's processors alone. On AMD's
cores with full 512-bit units `native/products.cpp` is about twice as fast
(docs/results/products-2026-11-28.json), so there a pass over the graph puts it in the place of
torch's products.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph, Node

from playground.compile.native.program import HERE, TYPES, library, processor

LEAST = 1 << 23  # multiplications of a product that repays a call through Python
THIN, LEAST_THIN = 16, 1 << 21  # the same with so few rows, columns or terms, where MKL is slower
REPLACED = (torch.ops.aten.mm.default, torch.ops.aten.bmm.default)
SIDE = 12  # least rows and columns: thinner ones leave most of a vector block idle

_LIBRARY = torch.library.Library("playground", "FRAGMENT")
_LIBRARY.define("products(Tensor a, Tensor b) -> Tensor", tags=(torch.Tag.flexible_layout,))


@cache
def pays() -> bool:
    """Whether this processor has the units, and torch's library does not use them."""
    known = processor()  # the flag came with AMD's full-width units; MKL knows Intel's processors
    return "AuthenticAMD" in known and "avx512_vp2intersect" in known


def options() -> dict[str, Any] | None:
    """For `torch.compile`."""
    return {"post_grad_custom_pre_pass": _PASS} if pays() else None


class WideProducts(CustomGraphPass):
    """Puts `playground::products` in the place of every large `mm` and `bmm` of fixed sizes."""

    def __call__(self, graph: Graph) -> None:
        """Change the graph."""
        for node in graph.nodes:
            if node.target in REPLACED and _is_large(*node.args):
                _loaded()  # compiled now, not at the first step
                node.target = torch.ops.playground.products.default

    def uuid(self) -> Any:
        """Says whose compiled graphs may be taken for this pass's."""
        return get_hash_for_files((__file__,), extra=f"{LEAST} {LEAST_THIN} {SIDE}")


_PASS = WideProducts()  # one for all: bodies whose options are equal share their graphs


def _is_large(a: Node, b: Node) -> bool:
    left, right = a.meta["val"], b.meta["val"]
    sizes = (*left.shape, right.shape[-1])
    if left.device.type != "cpu" or left.dtype not in TYPES:
        return False
    if not all(isinstance(size, int) for size in sizes):
        return False
    if min(left.shape[-2], right.shape[-1]) < SIDE:
        return False
    least = LEAST_THIN if min(sizes[-3:]) <= THIN else LEAST
    return torch.Size(sizes).numel() >= least


@cache
def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(library((HERE / "products.cpp").read_text(encoding="utf-8"))))


@torch.library.register_fake("playground::products")
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(*a.shape[:-1], b.shape[-1])


@torch.library.impl(_LIBRARY, "products", "CPU")
def products(a: Tensor, b: Tensor) -> Tensor:
    """a [M, K] @ b [K, N], or [n, M, K] and [n, K, N]; fp32 or fp64, any strides; no gradients."""
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    made = a.new_empty(*a.shape[:-1], columns)
    if made.numel() == 0 or depth == 0:
        return made.zero_()
    many = a.ndim == 3
    strides = (*a.stride(), *b.stride()) if many else (0, *a.stride(), 0, *b.stride())
    getattr(_loaded(), f"{TYPES[a.dtype]}_products")(
        ctypes.c_long(a.shape[0] if many else 1),
        rows,
        columns,
        depth,
        torch.get_num_threads(),
        ctypes.c_void_p(a.data_ptr()),
        ctypes.c_void_p(b.data_ptr()),
        ctypes.c_void_p(made.data_ptr()),
        (ctypes.c_int64 * 6)(*strides),
    )
    return made
