"""The delta rule in 16 bits, with or without a decay: one operator from tokens to outputs.

    left_t   = keep_t memory_{t-1}
    memory_t = left_t - 2 lr_t k_t^T (k_t met_t - v_t),    y_t = q_t memory_t

met_t is left_t (gated DeltaNet, arXiv:2412.06464) or memory_{t-1} (arXiv:2406.06484). What the
tokens of a chunk write is an affine map of its state, by the inverse of a unit lower triangular
matrix; then all is as in `decay_scan`, whose precision this has.
"""

import torch
from torch import Tensor

from kernels import decay_scan_kernels as scans
from kernels import delta_scan_kernels as programs
from kernels.launch import check_types
from kernels.replicas import register_sequences
from kernels.tokens import CHUNK, Job, given_grads, rooms


def delta_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    keep: Tensor | None,
    start: Tensor,
    *,
    decayed: bool,
) -> tuple[Tensor, Tensor]:
    """Write and read token by token, chunks at once.

    Args:
        q: [B, T, H, K].
        k: [B, T, H, K].
        v: [B, T, H, V]; all three of one type.
        lr: [B, T, H], fp32.
        keep: [B, T, H], fp32, in [0, 1]; None for 1.
        start: [B, H, K, V], fp32.
        decayed: the error is measured on what is left after the decay.

    Returns:
        y [B, T, H, V] in the tokens' type, and the state after the last token.

    Raises:
        TypeError: types that differ, or that the interpreter computes wrongly.
        ValueError: a head that is too wide.
    """
    given = (None if t is None else t.contiguous() for t in (q, k, v, lr, keep, start))
    return _scan(*given, decayed)[:2]


@torch.library.custom_op("playground::delta_scan", mutates_args=())
def _scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    keep: Tensor | None,
    start: Tensor,
    decayed: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """y, the last state; states before chunks, the inverse, U, W and D, for backward."""
    check_types(q.dtype, q, k, v)
    job, y, after, states, inverse, u, w, d = _room(q, k, v, start)
    told = {"DECAY": keep is not None, "DECAYED": decayed}
    system = inverse.new_empty(inverse.shape, dtype=torch.float32)
    job.start(programs.delta_system_fwd, k, lr, keep, system, **told)
    job.start(programs.delta_inverse_fwd, system, inverse)
    job.start(programs.delta_writes_fwd, inverse, k, v, lr, keep, u, w, **told)
    told = {"DECAY": keep is not None, "STEP": False}
    job.start(
        scans.decay_states_fwd,
        k, u, w, None, keep, start, states, after, d, SOLVED=True, **told,
    )  # fmt: skip
    job.start(scans.decay_reads_fwd, q, k, d, None, keep, states, y, **told)
    return y, after, states, inverse, u, w, d


def _room(
    q: Tensor, k: Tensor, v: Tensor, start: Tensor
) -> tuple[Job, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The job, and room for what `_scan` gives."""
    job = Job(q, v)
    inverse = q.new_empty(job.N, job.G, CHUNK, CHUNK)
    y, u, d = (torch.empty_like(v) for _ in range(3))
    return job, y, torch.empty_like(start), job.states(q.dtype), inverse, u, torch.empty_like(k), d


@_scan.register_fake
def _(q, k, v, lr, keep, start, decayed):
    return _room(q, k, v, start)[1:]


@torch.library.custom_op("playground::delta_scan_backward", mutates_args=())
def _scan_backward(
    g_y: Tensor,
    g_after: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: Tensor,
    keep: Tensor | None,
    states: Tensor,
    inverse: Tensor,
    u: Tensor,
    w: Tensor,
    d: Tensor,
    decayed: bool,
) -> list[Tensor]:
    """Gradients to q, k, v, lr, keep, start; empty for what is None."""
    job, told = Job(q, v), {"DECAY": keep is not None, "STEP": False}
    g_states, g_start = torch.empty_like(states), torch.empty_like(g_after)
    g_q, g_k, g_v, g_d, g_lr = (torch.empty_like(t) for t in (q, k, v, v, lr))
    g_keep = job.gates(keep)
    job.start(scans.decay_values_bwd, q, k, None, keep, g_y, None, g_d, LATER=False, **told)
    job.start(
        scans.decay_states_bwd,
        q, k, w, keep, g_y, g_after, g_d, g_states, g_start, SOLVED=True, **told,
    )  # fmt: skip
    job.start(
        scans.decay_keys_bwd,
        q, k, d, None, keep, states, g_y, g_states, g_q, g_k, None, g_keep, **told,
    )  # fmt: skip
    g_keep = job.summed(g_keep, q)
    job.start(
        programs.delta_writes_bwd,
        inverse, k, v, lr, keep, u, w, states, g_d, g_k, g_keep, g_v, g_lr,
        DECAY=keep is not None, DECAYED=decayed,
    )  # fmt: skip
    return [g_q, g_k, g_v, g_lr, g_keep, g_start]


@_scan_backward.register_fake
def _(g_y, g_after, q, k, v, lr, keep, states, inverse, u, w, d, decayed):
    return rooms(q, k, v, lr, keep, g_after)


def _setup(ctx, inputs, output) -> None:
    *tensors, start, ctx.decayed = inputs
    ctx.set_materialize_grads(False)  # nobody asks for gradients to what is kept
    ctx.save_for_backward(*tensors, *output[2:])
    ctx.start = start.shape


def _backward(ctx, g_y, g_after, *kept):
    saved = ctx.saved_tensors
    given = given_grads(g_y, g_after, saved[2], ctx.start)
    found = _scan_backward(*given, *saved, ctx.decayed)
    if saved[4] is None:
        found[4] = None
    return *found, None


_scan.register_autograd(_backward, setup_context=_setup)


register_sequences("playground::delta_scan", _scan, (0, 0, 1, 1, 0, 0, 0))
