"""Linear memories that only add and decay, in 16 bits: one operator from tokens to outputs.

    memory_t = keep_t memory_{t-1} + lr_t k_t^T v_t,    y_t = q_t memory_t

Linear attention, retention and Mamba-2's SSD (arXiv:2006.16236, 2307.08621, 2405.21060). A chunk's
state is one tile that passes from chunk to chunk; all that reads it is parallel. What is kept is
known to the precision of its logarithm, and as 1e-12 where it is less.
"""

from typing import Any

import torch
from torch import Tensor

from kernels import decay_scan_kernels as programs
from kernels.launch import check_types
from kernels.replicas import register_sequences
from kernels.tokens import Job, given_grads, rooms


def decay_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor | None,
    keep: Tensor | None,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """Write and read token by token, chunks at once.

    Args:
        q: [B, T, H, K].
        k: [B, T, H, K].
        v: [B, T, H, V]; all three of one type.
        lr: [B, T, H], fp32; None for 1.
        keep: [B, T, H], fp32, in [0, 1]; None for 1.
        start: [B, H, K, V], fp32.

    Returns:
        y [B, T, H, V] in the tokens' type, and the state after the last token.

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
        ValueError: a head that is too wide.
    """
    given = (None if t is None else t.contiguous() for t in (q, k, v, lr, keep, start))
    return _scan(*given)[:2]


def _sizes(lr: Tensor | None, keep: Tensor | None) -> dict[str, Any]:
    return {"DECAY": keep is not None, "STEP": lr is not None}


@torch.library.custom_op("playground::decay_scan", mutates_args=())
def _scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor | None,
    keep: Tensor | None,
    start: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, the last state, and the states before every chunk."""
    check_types(q.dtype, q, k, v)
    job, y, after = Job(q, v), torch.empty_like(v), torch.empty_like(start)
    states, told = job.states(q.dtype), _sizes(lr, keep)
    job.start(
        programs.decay_states_fwd,
        k, v, None, lr, keep, start, states, after, None, SOLVED=False, **told,
    )  # fmt: skip
    job.start(programs.decay_reads_fwd, q, k, v, lr, keep, states, y, **told)
    return y, after, states


@_scan.register_fake
def _(q, k, v, lr, keep, start):
    return torch.empty_like(v), torch.empty_like(start), Job(q, v).states(q.dtype)


@torch.library.custom_op("playground::decay_scan_backward", mutates_args=())
def _scan_backward(
    g_y: Tensor,
    g_after: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor | None,
    keep: Tensor | None,
    states: Tensor,
) -> list[Tensor]:
    """Gradients to q, k, v, lr, keep, start; empty for what is None."""
    job, told = Job(q, v), _sizes(lr, keep)
    g_states, g_start = torch.empty_like(states), torch.empty_like(g_after)
    g_q, g_k, g_v = (torch.empty_like(t) for t in (q, k, v))
    g_lr, g_keep = job.gates(lr), job.gates(keep)
    job.start(
        programs.decay_states_bwd,
        q, None, None, keep, g_y, g_after, None, g_states, g_start, SOLVED=False, **told,
    )  # fmt: skip
    job.start(programs.decay_values_bwd, q, k, lr, keep, g_y, g_states, g_v, LATER=True, **told)
    job.start(
        programs.decay_keys_bwd,
        q, k, v, lr, keep, states, g_y, g_states, g_q, g_k, g_lr, g_keep, **told,
    )  # fmt: skip
    return [g_q, g_k, g_v, job.summed(g_lr, q), job.summed(g_keep, q), g_start]


@_scan_backward.register_fake
def _(g_y, g_after, q, k, v, lr, keep, states):
    return rooms(q, k, v, lr, keep, g_after)


def _setup(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)  # nobody asks for gradients to what is kept
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.start = inputs[5].shape


def _backward(ctx, g_y, g_after, *kept):
    saved = ctx.saved_tensors
    given = given_grads(g_y, g_after, saved[2], ctx.start)
    found = _scan_backward(*given, *saved)
    there = [t is not None for t in saved]  # of the last, the states: so is the start
    return tuple(g if known else None for g, known in zip(found, there, strict=True))


_scan.register_autograd(_backward, setup_context=_setup)


register_sequences("playground::decay_scan", _scan, (0, 0, 1))
