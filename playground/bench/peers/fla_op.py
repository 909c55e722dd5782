"""fla-core's gated delta rule as one operator, so that a model around it compiles into one graph.

Its own entry switches torch.compile off. This calls the forward and backward that are behind it,
in the layout of fla-core 0.6.0.
"""

from typing import Any

import torch
from torch import Tensor

BLOCK = 64  # tokens of its chunks


@torch.library.custom_op("playground::fla_gated_delta", mutates_args=())
def _forward(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, start: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs, the last state; sums of g in chunks and the inverse, for backward."""
    from fla.ops.gated_delta_rule.chunk import chunk_gated_delta_rule_fwd

    sums, y, inverse, last, _, _ = chunk_gated_delta_rule_fwd(q, k, v, g, beta, 1.0, start, True)
    assert last is not None
    return y.to(q.dtype), last, sums, inverse


@_forward.register_fake
def _(q, k, v, g, beta, start):
    inverse = k.new_empty(*k.shape[:3], BLOCK)
    return torch.empty_like(v), torch.empty_like(start), torch.empty_like(g), inverse


@torch.library.custom_op("playground::fla_gated_delta_backward", mutates_args=())
def _backward_op(
    g_y: Tensor,
    g_last: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    beta: Tensor,
    inverse: Tensor,
    start: Tensor,
) -> list[Tensor]:
    """Gradients to q, k, v, g, beta, start."""
    from fla.ops.gated_delta_rule.chunk import chunk_gated_delta_rule_bwd

    g_q, g_k, g_v, g_beta, g_g, g_start, _, _ = chunk_gated_delta_rule_bwd(
        q, k, v, sums, beta, inverse, 1.0, start, g_y, g_last
    )
    like = zip((g_q, g_k, g_v, g_g, g_beta, g_start), (q, k, v, sums, beta, start), strict=True)
    return [g.to(t.dtype).contiguous() for g, t in like]


@_backward_op.register_fake
def _(g_y, g_last, q, k, v, sums, beta, inverse, start):
    return [torch.empty_like(t) for t in (q, k, v, sums, beta, start)]


def _setup(ctx, inputs, output) -> None:
    q, k, v, _, beta, start = inputs
    _, _, sums, inverse = output
    ctx.save_for_backward(q, k, v, sums, beta, inverse, start)


def _backward(ctx, g_y, g_last, *kept):
    return tuple(_backward_op(g_y.contiguous(), g_last.contiguous(), *ctx.saved_tensors))


_forward.register_autograd(_backward, setup_context=_setup)


def gated_delta(q: Tensor, k: Tensor, v: Tensor, **told: Any) -> tuple[Tensor, Tensor]:
    """As fla's chunk_gated_delta_rule with scale=1, g, beta and initial_state by name."""
    given = (q, k, v, told["g"], told["beta"], told["initial_state"])
    y, last, _, _ = _forward(*(t.contiguous() for t in given))
    return y, last
