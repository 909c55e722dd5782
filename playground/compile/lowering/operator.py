"""The one door of the chunk loop: an operator with a fake and a backward of its own.

`torch.compile` sees one opaque call: nothing is unrolled and no graph is broken around it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from kernels.replicas import into
from playground.compile.lowering.loop import Loop

LOOPS: dict[str, Loop] = {}
_INCLUDED = torch._C._dispatch_tls_local_include_set()
_EXCLUDED = torch._C._dispatch_tls_local_exclude_set()


@contextmanager
def _as_outside(kind: str, factors: torch.dtype | None) -> Iterator[None]:
    """Run as if called from the top: no autograd, and torch.func at work.

    Under a dispatch mode (torch.compile enters one at the first call of an operator) torch.func is
    switched off for what an operator does inside, and our bodies take gradients there. Nor does
    autocast reach what a compiled model or a backward pass calls, so it is told, and opened here.

    Args:
        kind: of the device.
        factors: of products; None for the tensors' own.
    """
    lowered = torch.autocast(kind, dtype=factors, enabled=factors is not None)
    # the guard first: what autocast sets is among what it puts back
    with torch.no_grad(), torch._C._ForceDispatchKeyGuard(_INCLUDED, _EXCLUDED), lowered:
        yield


@torch.library.custom_op("playground::chunk_loop", mutates_args=())
def chunk_loop(
    tensors: Sequence[Tensor], loop: str, keep: bool, factors: torch.dtype | None
) -> list[Tensor]:
    """[y, carry and open parts after the last token..., what is kept...] of `LOOPS[loop]`."""
    with _as_outside(tensors[0].device.type, factors):
        y, after, kept = LOOPS[loop].forward([t.detach() for t in tensors], keep)
        return [y, *after, *kept]


@chunk_loop.register_fake
def _(
    tensors: Sequence[Tensor], loop: str, keep: bool, factors: torch.dtype | None
) -> list[Tensor]:
    machine = LOOPS[loop]
    carry, opens, _, tokens = machine.groups.split(tensors)
    length = tokens[0].shape[1]
    y = torch.empty_like(tokens[2][:, :length])
    after = [t.new_empty(t.shape) for t in (*carry, *opens)]
    return [y, *after, *(machine.kept(tensors) if keep else ())]


@torch.library.custom_op("playground::chunk_loop_backward", mutates_args=())
def chunk_loop_backward(
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    grads: Sequence[Tensor],
    loop: str,
    factors: torch.dtype | None,
) -> list[Tensor]:
    """Gradients to the floating tensors of the flat list, the position left out."""
    with _as_outside(tensors[0].device.type, factors):
        machine = LOOPS[loop]
        found = machine.backward(
            [t.detach() for t in tensors], list(kept), grads[0], list(grads[1:])
        )
        return [t.clone() if any(t is g for g in grads) else t for t in found]


@chunk_loop_backward.register_fake
def _(
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    grads: Sequence[Tensor],
    loop: str,
    factors: torch.dtype | None,
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in tensors if t.is_floating_point()]


def _setup(ctx, inputs, output) -> None:
    tensors, ctx.loop, keep, ctx.factors = inputs
    ctx.set_materialize_grads(False)  # nobody asks for gradients to what is kept
    assert keep, "chunk_loop: gradients need keep=True"
    machine = LOOPS[ctx.loop]
    ctx.count = len(tensors)
    after = 1 + machine.groups.carry + machine.groups.open
    ctx.shapes = [(t.shape, t.dtype) for t in output[:after]]
    ctx.save_for_backward(*tensors, *output[after:])


def _backward(ctx, grads):
    tensors, kept = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    closed = 1 + LOOPS[ctx.loop].groups.carry  # nobody may have asked for what is open
    silent = all(g is None for g in grads[closed : len(ctx.shapes)])
    shapes = ctx.shapes[:closed] if silent else ctx.shapes
    full = [
        tensors[0].new_zeros(shape, dtype=dtype) if g is None else g.contiguous()
        for g, (shape, dtype) in zip(grads, shapes, strict=False)
    ]
    found = iter(chunk_loop_backward(tensors, kept, full, ctx.loop, ctx.factors))
    return [next(found) if t.is_floating_point() else None for t in tensors], None, None, None


torch.library.register_autograd("playground::chunk_loop", _backward, setup_context=_setup)


def _replicas(info, axes, tensors, loop: str, keep: bool, factors: torch.dtype | None):
    """Replicas are more sequences: every tensor of the flat list has a batch axis."""
    size, groups = info.batch_size, LOOPS[loop].groups
    gates = groups.carry + groups.open + groups.fixed + 3  # [G, B, T, H]; the others [B, ...]
    merged = [
        into(t, axis, size, at=int(i == gates))
        for i, (t, axis) in enumerate(zip(tensors, axes[0], strict=True))
    ]
    # inside vmap a tensor does not say that it needs gradients
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in merged)
    found, after = chunk_loop(merged, loop, keep, factors), 1 + groups.carry + groups.open
    places = [int(i >= after) for i in range(len(found))]  # what is kept has an axis of runs first
    apart = [t.unflatten(at, (size, -1)) for t, at in zip(found, places, strict=True)]
    return apart, places


torch.library.register_vmap("playground::chunk_loop", _replicas)
