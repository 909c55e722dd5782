"""A causal depthwise convolution, SiLU and unit length per head, in one kernel.

    z[t] = sum over i of weight[i] * x[t - width + 1 + i]
    s    = silu(z),    y = s / sqrt(|s|^2 + 1e-6)

Padded tokens are skipped, as if the others stood side by side; y is zero there. It can be taken up
at any token by the cache of the last width - 1 live inputs. Sums are made in fp32 at least,
whatever the type of x. Backward computes z anew.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from kernels import short_conv_kernels as programs
from kernels.configs import STAGES
from kernels.launch import check_types, kind_of
from kernels.replicas import into

TILE = 2048  # numbers of a program's tile; found by `python -m benchmarks.aot`: no spills
WARPS = 4


class Places(NamedTuple):
    """Where live tokens stand; rank, at: [B, T] int32, total: [B] int32; None without a mask."""

    rank: Tensor | None = None  # of each token among the live ones, -1 for padding
    at: Tensor | None = None  # of each rank; padding comes last
    total: Tensor | None = None


def short_conv(
    x: Tensor,
    weight: Tensor,
    cache: Tensor,
    mask: Tensor | None = None,
    *,
    heads: int,
    silu: bool,
    unit: bool,
) -> tuple[Tensor, Tensor]:
    """Convolve the next tokens, activate them and bring each head to unit length.

    Args:
        x: [B, T, M].
        weight: [width, M], the newest token's last.
        cache: [B, width - 1, M], the last live inputs before x.
        mask: [B, T] bool, False where a token is padding.
        heads: how many M is divided into.
        silu: whether there is an activation.
        unit: whether heads are brought to unit length.

    Returns:
        y [B, T, heads, M / heads] and the next cache, both in the type of x.

    Raises:
        TypeError: bf16 in the interpreter, which computes it wrongly.
    """
    given = (x.contiguous(), weight[None].contiguous(), cache.contiguous())
    y, last = _conv(*given, *_places(mask), heads, silu, unit)
    return y.unflatten(-1, (heads, -1)), last


def _places(mask: Tensor | None) -> Places:
    if mask is None:
        return Places()
    rank = torch.where(mask, mask.cumsum(1) - 1, -1)
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return Places(rank.int(), order.int(), mask.sum(1).int())


def _sizes(x: Tensor, weight: Tensor, heads: int, masked: bool) -> tuple[tuple[int, int], Any]:
    """The grid, and what programs are told beside tensors."""
    (B, T, M), (groups, width, _) = x.shape, weight.shape
    tokens = min(tokens_of(M // heads), power(T))
    blocks = -(-T // tokens)
    told = {"T": T, "BLOCKS": blocks, "GROUP": B // groups, "M": M, "D": M // heads}
    told |= {"WIDTH": width, "MASKED": masked, "BLOCK_T": tokens, "BLOCK_D": power(M // heads)}
    told |= {"ACC": kind_of(torch.promote_types(x.dtype, torch.float32))}
    return (B * blocks, heads), told | {"num_warps": WARPS, "num_stages": STAGES}


def tokens_of(width: int) -> int:
    """Tokens of a program whose head is so wide."""
    return max(1, min(32, TILE // power(width)))


def power(size: int) -> int:
    """The side of a tile that holds so many."""
    return 1 << (size - 1).bit_length()


@torch.library.custom_op("playground::short_conv", mutates_args=())
def _conv(
    x: Tensor,
    weight: Tensor,
    cache: Tensor,
    rank: Tensor | None,
    at: Tensor | None,
    total: Tensor | None,
    heads: int,
    silu: bool,
    unit: bool,
) -> tuple[Tensor, Tensor]:
    """y [B, T, M] and the next cache; weight [G, width, M] of G groups of rows."""
    for t in (x, weight, cache):
        check_types(t.dtype, t)
    if not x.numel():
        return torch.empty_like(x), cache.to(x.dtype, copy=True)
    y, last = torch.empty_like(x), torch.empty_like(cache, dtype=x.dtype)
    grid, told = _sizes(x, weight, heads, rank is not None)
    cast(Any, programs.tokens_fwd)[grid](
        x, weight, cache, rank, at, total, y, last,
        SILU=silu, UNIT=unit, BLOCK_W=power(weight.shape[1]), **told,
    )  # fmt: skip
    return y, last


@_conv.register_fake
def _(x, weight, cache, *rest):
    return torch.empty_like(x), torch.empty_like(cache, dtype=x.dtype)


@torch.library.custom_op("playground::short_conv_backward", mutates_args=())
def _conv_backward(
    g_y: Tensor,
    g_last: Tensor,
    x: Tensor,
    weight: Tensor,
    cache: Tensor,
    rank: Tensor | None,
    at: Tensor | None,
    total: Tensor | None,
    heads: int,
    silu: bool,
    unit: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, weight and cache."""
    if not x.numel():
        return torch.empty_like(x), torch.zeros_like(weight), g_last.to(cache.dtype, copy=True)
    grid, told = _sizes(x, weight, heads, rank is not None)
    wide = torch.promote_types(x.dtype, torch.float32)
    g_z = torch.empty_like(x, dtype=wide)
    parts = x.new_empty(grid[0], *weight.shape[1:], dtype=wide)
    cast(Any, programs.tokens_bwd)[grid](
        x, weight, cache, rank, at, total, g_y, g_z, parts, SILU=silu, UNIT=unit, **told
    )
    g_x, g_cache = torch.empty_like(x), torch.empty_like(cache)
    cast(Any, programs.inputs_bwd)[grid](
        weight, rank, at, total, g_z, g_last, g_x, g_cache, BLOCK_W=power(weight.shape[1]), **told
    )
    g_weight = parts.unflatten(0, (weight.shape[0], -1)).sum(1)
    return g_x, g_weight.to(weight.dtype), g_cache


@_conv_backward.register_fake
def _(g_y, g_last, x, weight, cache, *rest):
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(cache)


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.heads, ctx.silu, ctx.unit = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, g_y, g_last):
    choices = (ctx.heads, ctx.silu, ctx.unit)
    given = (g_y.contiguous(), g_last.contiguous(), *ctx.saved_tensors)
    return *_conv_backward(*given, *choices), *(None,) * 6


_conv.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *given):
    """Replicas are more sequences; each has its own weights."""
    merged = [
        t if t is None else into(t, axis, info.batch_size, 0).contiguous()
        for t, axis in zip(given[:6], axes[:6], strict=True)
    ]
    y, last = _conv(*merged, *given[6:])
    return (y.unflatten(0, (info.batch_size, -1)), last.unflatten(0, (info.batch_size, -1))), (0, 0)


torch.library.register_vmap("playground::short_conv", _replicas)
