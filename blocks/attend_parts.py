"""Softmax attention over runs of keys one after another, merged by log-sum-exp, as one operator.

A kernel that knows only simple masks gives for each part (`Sight.parts`) its output and the
log-sum-exp of its scores. With lse = log sum_i exp(lse_i) the whole is

    out = sum_i exp(lse_i - lse) out_i

and the gradients of the whole are the sum of the parts' own backward passes, each told out and lse
of the whole in place of its own: the chance of a key is then exp(score - lse), and what is taken
off its row is g . out. On CUDA a part is run by xformers, on a CPU by the three lines it means.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from blocks.masks import Part, band
from blocks.xformers_parts import Xformers

Parts = Sequence[Part]


class Kernel(Protocol):
    """What runs one part: q [B, T, H, D], k and v [B, n, H, D], reach as in `Part`."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """out [B, T, H, D] and lse [B, H, T]."""
        ...

    def backward(
        self, g: Tensor, out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, reach: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients to q, k, v, from g [B, T, H, D] and the out and lse of the whole."""
        ...


class Plain:
    """A part in matrix products: what a kernel means, on any device."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """See `Kernel`."""
        scores = self._scores(q, k, reach)
        lse = scores.logsumexp(-1)
        return torch.einsum("bhts,bshd->bthd", (scores - lse[..., None]).exp(), v), lse

    def backward(
        self, g: Tensor, out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, reach: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Kernel`."""
        chance = (self._scores(q, k, reach) - lse[..., None]).exp()
        off = (g * out).sum(-1).transpose(1, 2)[..., None]
        g_scores = chance * (torch.einsum("bthd,bshd->bhts", g, v) - off) / q.shape[-1] ** 0.5
        g_q = torch.einsum("bhts,bshd->bthd", g_scores, k)
        g_k = torch.einsum("bhts,bthd->bshd", g_scores, q)
        return g_q, g_k, torch.einsum("bhts,bthd->bshd", chance, g)

    def _scores(self, q: Tensor, k: Tensor, reach: int) -> Tensor:
        scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
        return scores.masked_fill(~band(q.shape[1], k.shape[1], reach, q.device), -torch.inf)


def attend_parts(q: Tensor, k: Tensor, v: Tensor, parts: Parts) -> Tensor:
    """Attention of every row to the keys of all parts.

    Args:
        q: [B, T, H, D].
        k: [B, S, H, D].
        v: [B, S, H, D].
        parts: disjoint, in order, and together all S keys; every row sees a key of each.

    Returns:
        y [B, T, H, D].
    """
    return _attend(q, k, v, [n for part in parts for n in part])[0]


def merge(found: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """out [B, T, H, D] and lse [B, H, T] of the whole, from those of its parts."""
    if len(found) == 1:
        return found[0]
    lse = torch.stack([own for _, own in found]).logsumexp(0)
    shares = [(own - lse).exp().transpose(1, 2)[..., None] for _, own in found]
    out = sum(share * out for share, (out, _) in zip(shares, found, strict=True))
    assert isinstance(out, Tensor)
    return out, lse


def _forward(
    kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, flat: list[int]
) -> tuple[Tensor, Tensor]:
    found = [kernel.forward(q, k[:, a:b], v[:, a:b], reach) for a, b, reach in _parts(flat)]
    out, lse = merge(found)
    return out.to(q.dtype).contiguous(), lse.contiguous()


def _backward(
    kernel: Kernel, g: Tensor, kept: tuple[Tensor, ...], flat: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    out, lse, q, k, v = kept
    found = [
        kernel.backward(g, out, lse, q, k[:, a:b], v[:, a:b], reach) for a, b, reach in _parts(flat)
    ]
    wide = torch.promote_types(q.dtype, torch.float32)
    g_q = torch.stack([each[0].to(wide) for each in found]).sum(0).to(q.dtype)
    return g_q, torch.cat([each[1] for each in found], 1), torch.cat([each[2] for each in found], 1)


def _parts(flat: list[int]) -> Parts:
    return [Part(*flat[i : i + 3]) for i in range(0, len(flat), 3)]


# the operator; a list of numbers stands for the parts, three each


@torch.library.custom_op("playground::attend_parts", mutates_args=(), device_types="cpu")
def _attend(q: Tensor, k: Tensor, v: Tensor, parts: list[int]) -> tuple[Tensor, Tensor]:
    return _forward(Plain(), q, k, v, parts)


@_attend.register_kernel("cuda")
def _(q: Tensor, k: Tensor, v: Tensor, parts: list[int]) -> tuple[Tensor, Tensor]:
    return _forward(Xformers(), q, k, v, parts)


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, parts: list[int]) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(q.dtype, torch.float32)
    return q.new_empty(q.shape), q.new_empty(q.shape[0], q.shape[2], q.shape[1], dtype=wide)


@torch.library.custom_op("playground::attend_parts_backward", mutates_args=(), device_types="cpu")
def _attend_backward(
    g: Tensor, y: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, parts: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(Plain(), g, (y, lse, q, k, v), parts)


@_attend_backward.register_kernel("cuda")
def _(
    g: Tensor, y: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, parts: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(Xformers(), g, (y, lse, q, k, v), parts)


@_attend_backward.register_fake
def _(
    g: Tensor, y: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, parts: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _setup(ctx, inputs, output) -> None:
    *given, ctx.parts = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*output, *given)


def _pulled(ctx, g_y, _):
    return *_attend_backward(g_y.contiguous(), *ctx.saved_tensors, ctx.parts), None


_attend.register_autograd(_pulled, setup_context=_setup)


def _replicas(info, axes, q, k, v, parts):
    """Under vmap replicas are more sequences."""
    size = info.batch_size
    merged = [
        (t.expand(size, *t.shape) if axis is None else t.movedim(axis, 0)).flatten(0, 1)
        for t, axis in zip((q, k, v), axes, strict=False)
    ]
    return tuple(t.unflatten(0, (size, -1)) for t in _attend(*merged, parts)), (0, 0)


torch.library.register_vmap("playground::attend_parts", _replicas)
