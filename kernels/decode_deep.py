"""One token of a memory whose gradients are taken at its chunk's start (class C), in one kernel.

    d         gradient of the objective at the anchor, to each matrix's output
    momentum <- eta momentum - lr x^T d,    memory <- keep (memory - start) + start + momentum
    y         what the memory says of q after (or before) that write
    anchor   <- memory where the token is its chunk's last, anchor elsewhere

for a memory x w or gelu(x w1) w2, with or without layer norm and residual (Titans,
arXiv:2501.00663, eqs. 13-16). The place in the chunk is a tensor, so nothing waits for the GPU.

The new state is new tensors. In place would move one state's bytes less per token (the anchor is
copied, a sixth of the bytes with momentum), but states are shared: a chunk's first anchor is its
memory, MAC reads the memory of the segment before, and a stream put away must stay what it was.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from kernels import decode_deep_kernels as programs
from kernels.configs import STAGES
from kernels.decode import SIDES, contiguous_rows, power
from kernels.launch import check_types, kind_of
from kernels.replicas import into

OBJECTIVES = {"l2": 0, "dot": 1, "huber": 2}
TILE = 2048  # numbers of the largest tile: two programs fit a multiprocessor
PROGRAMS = 128  # from so many sequences and heads on, one program each
WARPS = 8


class Deep(NamedTuple):
    """The state of B sequences and H heads; of one or two matrices, each [B, H, d_in, d_out].

    momentum, start: empty where there is none; position: [B], tokens seen.
    """

    memory: Sequence[Tensor]
    momentum: Sequence[Tensor]
    anchor: Sequence[Tensor]
    start: Sequence[Tensor]
    position: Tensor


class DeepToken(NamedTuple):
    """One token; gates are of each matrix.

    q, k: [B, H, K]; v: [B, H, V]; lr, eta (empty without momentum): [B, H]; keep: [B, H], or with
    channels [B, H, d_in] or [B, H, d_out]; mask: [B] bool, False for padding, or None.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    lr: Sequence[Tensor]
    keep: Sequence[Tensor]
    eta: Sequence[Tensor]
    mask: Tensor | None = None


def decode_deep(
    state: Deep,
    x: DeepToken,
    *,
    chunk_size: int,
    side: str = "scalar",
    objective: str = "l2",
    delta: float = 0.0,
    residual: bool = True,
    norm: bool = True,
    after: bool = True,
    spans: int | None = None,
) -> tuple[Tensor, Deep]:
    """Write one token and read.

    Args:
        state: fp32 or fp64.
        x: the token.
        chunk_size: tokens of a chunk.
        side: which side of every matrix its `keep` acts on: scalar, key or value.
        objective: l2, dot or huber.
        delta: of huber.
        residual: whether the input is added to what the matrices say (K = V).
        norm: whether a layer norm follows the last matrix.
        after: read after the token's own write; False: before it.
        spans: programs of a sequence and head, None for what fills the device.

    Returns:
        y [B, H, V] in the type of v, and the state after the token.

    Raises:
        TypeError: states of different types, or bf16 in the interpreter, which computes it wrongly.
    """
    lists = [[t.contiguous() for t in group] for group in state[:3]]
    lists.append([contiguous_rows(t) for t in state.start])
    lists += [[t.contiguous() for t in group] for group in (x.lr, x.keep, x.eta)]
    tokens = [t if t is None else t.contiguous() for t in (*x[:3], state.position, x.mask)]
    sizes = (chunk_size, SIDES[side], OBJECTIVES[objective], delta)
    y, *leaves = _deep(*lists, *tokens, *sizes, residual, norm, after, spans or 0)
    memory, momentum, anchor = _parts([y, *leaves], state[:3])
    return y, Deep(memory, momentum, anchor, state.start, state.position + 1)


@torch.library.custom_op("playground::decode_deep", mutates_args=())
def _deep(
    memory: Sequence[Tensor],
    momentum: Sequence[Tensor],
    anchor: Sequence[Tensor],
    start: Sequence[Tensor],
    lr: Sequence[Tensor],
    keep: Sequence[Tensor],
    eta: Sequence[Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    position: Tensor,
    mask: Tensor | None,
    chunk_size: int,
    side: int,
    objective: int,
    delta: float,
    residual: bool,
    norm: bool,
    after: bool,
    spans: int,
) -> list[Tensor]:
    """[y, memory..., momentum..., anchor...]."""
    check_types(memory[0].dtype, *memory, *momentum, *anchor, *start)
    for t in (q, k, v):
        check_types(t.dtype, t)
    found = [v.new_empty(v.shape), *(torch.empty_like(t) for t in (*memory, *momentum, *anchor))]
    (B, H, K), (_, _, D, V) = k.shape, memory[-1].shape
    if not v.numel():
        return found
    step, span = spanned(K, D, V, spans or PROGRAMS // (B * H))
    count, told = -(-D // span), {"K": K, "V": V, "NORM": norm, "RESIDUAL": residual}
    told |= {"ACC": kind_of(memory[0].dtype), "BLOCK_V": power(V)}
    y = found[0] if count == 1 else memory[0].new_empty(B * H, count, V)
    states = (memory, momentum, anchor, start, lr, keep, eta)
    cast(Any, programs.chunk_token_step)[(B * H, count)](
        *_by_matrix(*states), q, k, v, position, mask, y, *_by_matrix(*_parts(found, states)),
        H, *(0 if t is None else t.stride(0) for t in _two(start)), chunk_size,
        D=D, SPAN=span, DEEP=len(memory) > 1, MOMENTUM=len(momentum) > 0, TOWARDS=len(start) > 0,
        MASKED=mask is not None, SIDE=side, OBJECTIVE=objective, DELTA=delta, AFTER=after,
        BLOCK_K=power(K), BLOCK_D=step, num_warps=WARPS, num_stages=STAGES, **told,
    )  # fmt: skip
    if count > 1:
        cast(Any, programs.spans_sum)[(B * H,)](y, q, found[0], SPANS=count, num_warps=1, **told)
    return found


def spanned(K: int, D: int, V: int, spans: int) -> tuple[int, int]:
    """Channels of a tile, and of a program, if there are to be so many programs of D channels."""
    step = min(power(D), max(1, TILE // max(power(K), power(V))))
    spans = min(max(spans, 1), -(-D // step))
    return step, -(-D // (spans * step)) * step


def _parts(found: Sequence[Tensor], like: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Memory, momentum and anchor of what the operator gives."""
    rest = iter(found[1:])
    return [[next(rest) for _ in group] for group in like[:3]]


def _by_matrix(*groups: Sequence[Tensor]) -> Iterator[Tensor | None]:
    """All of the first matrix, then all of the last one."""
    for of_one in zip(*map(_two, groups), strict=True):
        yield from of_one


def _two(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """What the two matrices have; None for one that is not there."""
    return [*([None] * (2 - len(tensors))), *tensors]


@_deep.register_fake
def _(memory, momentum, anchor, start, lr, keep, eta, q, k, v, *rest):
    return [v.new_empty(v.shape), *(torch.empty_like(t) for t in (*memory, *momentum, *anchor))]


def _replicas(info, axes, *given):
    """Replicas are more sequences."""
    size = info.batch_size

    def merged(t: Tensor | None, axis: int | None) -> Tensor | None:
        return t if t is None else into(t, axis, size, 0).contiguous()

    lists = [
        [merged(t, axis) for t, axis in zip(group, places, strict=True)]
        for group, places in zip(given[:7], axes[:7], strict=True)
    ]
    tokens = [merged(t, axis) for t, axis in zip(given[7:12], axes[7:12], strict=True)]
    found = _deep(*lists, *tokens, *given[12:])
    return [t.unflatten(0, (size, -1)) for t in found], [0] * len(found)


torch.library.register_vmap("playground::decode_deep", _replicas)
