"""The scan over chunk states of classes A and B: `state[n+1] = move[n] state[n] - write[n]`.

One operator, so that `torch.compile` unrolls nothing. Its backward is the same scan reversed; the
gradients to `move` and `write` are then one batched product.
"""

import torch
from torch import Tensor

from kernels.replicas import to_front


@torch.library.custom_op("playground::state_scan", mutates_args=())
def state_scan(move: Tensor, write: Tensor, start: Tensor) -> Tensor:
    """States before every chunk and after the last, [N + 1, ..., R, V].

    Args:
        move: [N, ..., R, R].
        write: [N, ..., R, V].
        start: [..., R, V].
    """
    states = start.new_empty(move.shape[0] + 1, *start.shape)
    states[0].copy_(start)
    flat, moves, writes = (t.reshape(t.shape[0], -1, *t.shape[-2:]) for t in (states, move, write))
    for n in range(move.shape[0]):
        torch.baddbmm(writes[n], moves[n], flat[n], beta=-1.0, out=flat[n + 1])
    return states


@state_scan.register_fake
def _(move: Tensor, write: Tensor, start: Tensor) -> Tensor:
    return start.new_empty(move.shape[0] + 1, *start.shape)


@torch.library.custom_op("playground::state_scan_backward", mutates_args=())
def state_scan_backward(grad: Tensor, move: Tensor) -> Tensor:
    """What reaches every state from all later ones: [N + 1, ..., R, V]."""
    total = grad.clone(memory_format=torch.contiguous_format)
    flat, moves = (t.reshape(t.shape[0], -1, *t.shape[-2:]) for t in (total, move))
    for n in reversed(range(move.shape[0])):
        flat[n].baddbmm_(moves[n].mT, flat[n + 1])
    return total


@state_scan_backward.register_fake
def _(grad: Tensor, move: Tensor) -> Tensor:
    return torch.empty_like(grad, memory_format=torch.contiguous_format)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[0], output)


def _backward(ctx, grad: Tensor):
    move, states = ctx.saved_tensors
    total = state_scan_backward(grad, move)
    return total[1:] @ states[:-1].mT, -total[1:], total[0]


state_scan.register_autograd(_backward, setup_context=_setup)


def _replicas(info, axes, *tensors):
    at = (1, 1, 0)  # behind the axis of chunks
    found = (
        to_front(t, axis, info.batch_size).movedim(0, place)
        for t, axis, place in zip(tensors, axes, at, strict=True)
    )
    return state_scan(*found), 1


torch.library.register_vmap("playground::state_scan", _replicas)
