"""One token of a linear memory with a gradient at every token (classes A and B), in one kernel.

    kept = keep (memory - start) + start             (start 0 where the memory decays to zero)
    d    = 2 (k w + k - v)  or  -v                   w the memory, or kept; + k with a residual
    momentum <- eta momentum - lr k^T d,   memory <- kept + momentum
    y    = q memory + q

for example linear Titans (arXiv:2501.00663, eqs. 13-14) and gated delta (arXiv:2412.06464). The new
state is a new tensor: reading the old and writing the new moves as many bytes as a write in place,
and states that are shared (a learned start, a stream put away, MAC's reader) stay what they were.
For inference: nothing is kept for a gradient.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from kernels import decode_kernels as programs
from kernels.configs import STAGES
from kernels.launch import check_types, kind_of
from kernels.replicas import into

SIDES = {"scalar": 0, "key": 1, "value": 2}  # of a matrix: where its retention acts
VALUES = 32  # value channels of a program
WARPS = 4


class Token(NamedTuple):
    """One token of B sequences and H heads.

    q, k: [B, H, K]; v: [B, H, V]; lr, eta (the part of the momentum that is kept; None without):
    [B, H]; keep: [B, H], or [B, H, K] or [B, H, V]; mask: [B] bool, False for padding, or None.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    lr: Tensor
    keep: Tensor
    eta: Tensor | None = None
    mask: Tensor | None = None


def decode(
    memory: Tensor,
    momentum: Tensor | None,
    x: Token,
    *,
    start: Tensor | None = None,
    side: str = "scalar",
    squared: bool = True,
    residual: bool = False,
    decayed: bool = False,
    after: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Write one token and read.

    Args:
        memory: [B, H, K, V], fp32 or fp64.
        momentum: the same, or None.
        x: the token.
        start: [B, H, K, V], what the memory decays towards; None for zero.
        side: which side of the memory `keep` acts on: scalar, key or value.
        squared: descend the squared error; False: minus the dot product.
        residual: whether the memory's input is added to what it says (K = V).
        decayed: the error is measured on what is left after the decay.
        after: read after the token's own write; False: before it.

    Returns:
        y [B, H, V] in the type of v, memory and momentum after the token.

    Raises:
        TypeError: states of different types, or bf16 in the interpreter, which computes it wrongly.
    """
    given = (None if t is None else t.contiguous() for t in (memory, momentum))
    tokens = (None if t is None else t.contiguous() for t in x)
    choices = (SIDES[side], squared, residual, decayed, after)
    home = None if start is None else contiguous_rows(start)
    y, new, moved = _token(*given, home, *tokens, *choices)
    return y, new, None if momentum is None else moved


def contiguous_rows(start: Tensor) -> Tensor:
    """A view of learned weights stays one: only its heads must be in order."""
    return start if start[:1].is_contiguous() else start.contiguous()


@torch.library.custom_op("playground::decode_token", mutates_args=())
def _token(
    memory: Tensor,
    momentum: Tensor | None,
    start: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    keep: Tensor,
    eta: Tensor | None,
    mask: Tensor | None,
    side: int,
    squared: bool,
    residual: bool,
    decayed: bool,
    after: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, memory and momentum; empty where there is no momentum."""
    check_types(memory.dtype, memory, momentum, start)
    for t in (q, k, v):
        check_types(t.dtype, t)
    B, H, K, V = memory.shape
    y, new = v.new_empty(v.shape), torch.empty_like(memory)
    moved = memory.new_empty(0) if momentum is None else torch.empty_like(momentum)
    if not y.numel():
        return y, new, moved
    values, step = min(VALUES, power(V)), cast(Any, programs.token_step)
    step[(B * H, -(-V // values))](
        memory, momentum, start, q, k, v, lr, keep, eta, mask, y, new, moved,
        H, 0 if start is None else start.stride(0), K, V,
        MOMENTUM=momentum is not None, TOWARDS=start is not None, MASKED=mask is not None,
        SIDE=side, SQUARED=squared, RESIDUAL=residual, DECAYED=decayed, AFTER=after,
        ACC=kind_of(memory.dtype), BLOCK_K=power(K), BLOCK_V=values,
        num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return y, new, moved


def power(size: int) -> int:
    """The side of a tile that holds so many."""
    return 1 << (size - 1).bit_length()


@_token.register_fake
def _(memory, momentum, start, q, k, v, *rest):
    moved = memory.new_empty(0) if momentum is None else torch.empty_like(momentum)
    return v.new_empty(v.shape), torch.empty_like(memory), moved


def _replicas(info, axes, *given):
    """Replicas are more sequences."""
    tensors, choices, size = given[:10], given[10:], info.batch_size
    merged = [
        t if t is None else into(t, axis, size, 0) for t, axis in zip(tensors, axes, strict=False)
    ]
    y, new, moved = _token(*(t if t is None else t.contiguous() for t in merged), *choices)
    some = moved.numel() > 0
    moved = moved.unflatten(0, (size, -1)) if some else moved
    found = (y.unflatten(0, (size, -1)), new.unflatten(0, (size, -1)), moved)
    return found, (0, 0, 0 if some else None)


torch.library.register_vmap("playground::decode_token", _replicas)
