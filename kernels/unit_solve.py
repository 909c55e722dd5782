"""Systems that are unit lower triangular, many at once: (I + L) X = R.

What tokens of a chunk write depends on what those before them wrote: with a squared error that is
such a system (the WY / UT transform of DeltaNet, arXiv:2406.06484).
"""

from typing import Any

import torch
from torch import Tensor

from kernels import unit_solve_kernels as programs
from kernels.launch import check_types, kind_of, launch, tile
from kernels.replicas import to_front


def unit_solve(system: Tensor, right: Tensor, factors: torch.dtype | None = None) -> Tensor:
    """X of (I + L) X = R.

    Args:
        system: [..., C, C]; L is what stands below the diagonal, the rest is not read.
        right: [..., C, W], R.
        factors: the type of the factors of products with the inverse; None for that of the
            tensors, in which the inverse is always made.

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
    """
    return _solve(system.contiguous(), right.contiguous(), factors or right.dtype)[0]


def _sizes(right: Tensor, factors: torch.dtype) -> dict[str, Any]:
    """What programs are told beside tensors."""
    C, W = right.shape[-2:]
    kind = kind_of(torch.promote_types(right.dtype, torch.float32))
    joins = (tile(C) // 16).bit_length() - 1
    sizes = {"C": C, "V": W, "BLOCK_C": tile(C), "JOINS": joins}
    return sizes | {"ACC": kind, "T": kind_of(factors)}


@torch.library.custom_op("playground::unit_solve", mutates_args=())
def _solve(system: Tensor, right: Tensor, factors: torch.dtype) -> tuple[Tensor, Tensor]:
    """X, and the inverse of I + L."""
    check_types(right.dtype, system, right)
    check_types(factors)
    inverse, found = torch.empty_like(system), torch.empty_like(right)
    count, sizes = system.shape[:-2].numel(), _sizes(right, factors)
    launch(programs.inverse_fwd, count, system, inverse, **sizes)
    sizes["TURNED"] = False
    launch(programs.apply_fwd, count, inverse, right, found, values=True, **sizes)
    return found, inverse


@_solve.register_fake
def _(system, right, factors):
    return torch.empty_like(right), torch.empty_like(system)


@torch.library.custom_op("playground::unit_solve_backward", mutates_args=())
def _solve_backward(
    grad: Tensor, found: Tensor, inverse: Tensor, factors: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Gradients to L and R."""
    g_system, g_right = torch.empty_like(inverse), torch.empty_like(grad)
    count, sizes = inverse.shape[:-2].numel(), _sizes(grad, factors)
    sizes["TURNED"] = True
    launch(programs.apply_fwd, count, inverse, grad, g_right, values=True, **sizes)
    launch(programs.system_bwd, count, g_right, found, g_system, **sizes)
    return g_system, g_right


@_solve_backward.register_fake
def _(grad, found, inverse, factors):
    return torch.empty_like(inverse), torch.empty_like(grad)


def _setup(ctx, inputs, output) -> None:
    ctx.factors = inputs[2]
    ctx.set_materialize_grads(False)  # nobody asks for gradients to the inverse
    ctx.save_for_backward(*output)


def _backward(ctx, grad: Tensor, _: Tensor):
    return *_solve_backward(grad.contiguous(), *ctx.saved_tensors, ctx.factors), None


_solve.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, system: Tensor, right: Tensor, factors: torch.dtype):
    given = (
        to_front(t, axis, info.batch_size) for t, axis in zip((system, right), axes, strict=False)
    )
    return _solve(*(t.contiguous() for t in given), factors), (0, 0)


torch.library.register_vmap("playground::unit_solve", _replicas)
