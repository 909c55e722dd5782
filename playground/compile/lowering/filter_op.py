"""`memory_rules.filters.chunk_filter` as one operator: in place, with its adjoint written out.

The same joining of blocks of 1, 2, 4, ... tokens, each entry of A written once where it belongs;
backward walks the joins in reverse from A itself and a few vectors per join. Held to the definition
by a test; opaque to `torch.compile`, which would spend minutes on it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules.filters import Filter


def fast_filter(
    lr: Tensor, gamma: Tensor, eta: Tensor | None = None, mask: Tensor | None = None
) -> Filter:
    """As `chunk_filter`: lr, gamma, eta [..., C]; mask [..., C] bool, broadcastable."""
    size = lr.shape[-1]
    write = None
    if mask is not None:
        write = mask.to(gamma.dtype).expand_as(gamma)
        lr = lr * write
        gamma = torch.where(mask, gamma, 1.0)
        eta = None if eta is None else torch.where(mask, eta, 1.0)
    full = 1 << (size - 1).bit_length()
    if full > size:  # slots after the end: they keep everything and write nothing
        pad = (0, full - size)
        write = torch.ones_like(gamma) if write is None else write
        lr, write = F.pad(lr, pad), F.pad(write, pad)
        gamma = F.pad(gamma, pad, value=1.0)
        eta = None if eta is None else F.pad(eta, pad, value=1.0)
    if eta is None:
        A, b = join_plain(lr, gamma)
        return Filter(b[..., :size], A[..., :size, :size])
    c = eta if write is None else eta * write
    A, rows = join_momentum(lr, gamma, c, eta)
    b, c, m, e = (t[..., :size] for t in rows.unbind(0))
    return Filter(b, A[..., :size, :size], c, m, e)


def _blocks(A: Tensor, n: int) -> Tensor:
    """The diagonal blocks of 2n tokens, a view: [..., pairs, 2n, 2n]."""
    pairs = A.shape[-1] // (2 * n)
    grid = A.view(*A.shape[:-2], pairs, 2 * n, pairs, 2 * n)
    return grid.diagonal(0, -4, -2).movedim(-1, -3)


def _halves(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The first and second blocks of every pair, views: [..., pairs, n]."""
    pairs = x.unflatten(-1, (-1, 2 * n))
    return pairs[..., :n], pairs[..., n:]


def _sizes(size: int) -> list[int]:
    return [1 << i for i in range(size.bit_length() - 1)]


# without momentum


@torch.library.custom_op("playground::join_plain", mutates_args=())
def join_plain(lr: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """A [..., C, C] and b [..., C]; C a power of two."""
    A, b = torch.diag_embed(lr), gamma.clone(memory_format=torch.contiguous_format)
    for n in _sizes(lr.shape[-1]):
        blocks = _blocks(A, n)
        b1, b2 = _halves(b, n)
        torch.mul(b2.unsqueeze(-1), blocks[..., n - 1 : n, :n], out=blocks[..., n:, :n])
        b2.mul_(b1[..., -1:])
    return A, b


@join_plain.register_fake
def _(lr: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    return lr.new_empty(*lr.shape, lr.shape[-1]), gamma.new_empty(gamma.shape)


@torch.library.custom_op("playground::join_plain_backward", mutates_args=())
def join_plain_backward(gamma: Tensor, A: Tensor, gA: Tensor, gb: Tensor) -> Tensor:
    """Gradients to lr and gamma, stacked."""
    gA, gb = gA.clone(memory_format=torch.contiguous_format), gb.clone()
    levels = _levels([gamma])
    for n, (b,) in zip(reversed(_sizes(gamma.shape[-1])), reversed(levels), strict=True):
        a1, low = _blocks(A, n)[..., n - 1, :n], _blocks(gA, n)[..., n:, :n]
        (b1, b2), (gb1, gb2) = _halves(b, n), _halves(gb, n)
        to_row = (b2.unsqueeze(-2) @ low).squeeze(-2)
        gb1[..., -1] += (gb2 * b2).sum(-1)
        gb2.mul_(b1[..., -1:]).add_((low @ a1.unsqueeze(-1)).squeeze(-1))
        _blocks(gA, n)[..., n - 1, :n] += to_row
    return torch.stack([gA.diagonal(0, -2, -1), gb])


@join_plain_backward.register_fake
def _(gamma: Tensor, A: Tensor, gA: Tensor, gb: Tensor) -> Tensor:
    return gamma.new_empty(2, *gamma.shape)


def _levels(vectors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The vectors before every join: (b,) or (b, c, m, e)."""
    now = [t.clone(memory_format=torch.contiguous_format) for t in vectors]
    found = []
    for n in _sizes(now[0].shape[-1]):
        found.append(tuple(t.clone() for t in now))
        _advance(now, n)
    return found


def _advance(vectors: Sequence[Tensor], n: int) -> None:
    """Join the vectors of pairs of blocks in place."""
    b1, b2 = _halves(vectors[0], n)
    if len(vectors) > 1:
        (c1, c2), (m1, m2), (e1, _) = (_halves(t, n) for t in vectors[1:])
        e1.mul_(m2[..., -1:])
        c2.mul_(m1[..., -1:]).addcmul_(b2, c1[..., -1:])
        m2.mul_(m1[..., -1:])
    b2.mul_(b1[..., -1:])


# with momentum


@torch.library.custom_op("playground::join_momentum", mutates_args=())
def join_momentum(lr: Tensor, gamma: Tensor, c: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
    """A [..., C, C] and the rows b, c, m, e stacked [4, ..., C]; C a power of two.

    c: what of the momentum reaches the memory at once: eta, or 0 where a token writes nothing.
    """
    A = torch.diag_embed(lr)  # a masked token has lr 0
    rows = torch.stack([gamma, c, eta, lr])
    vectors = rows.unbind(0)
    for n in _sizes(lr.shape[-1]):
        blocks = _blocks(A, n)
        (_, b2), (_, c2), _, (e1, _) = (_halves(t, n) for t in vectors)
        low = blocks[..., n:, :n]
        torch.mul(b2.unsqueeze(-1), blocks[..., n - 1 : n, :n], out=low)
        low.addcmul_(c2.unsqueeze(-1), e1.unsqueeze(-2))
        _advance(vectors, n)
    return A, rows


@join_momentum.register_fake
def _(lr: Tensor, gamma: Tensor, c: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
    return lr.new_empty(*lr.shape, lr.shape[-1]), lr.new_empty(4, *lr.shape)


@torch.library.custom_op("playground::join_momentum_backward", mutates_args=())
def join_momentum_backward(
    lr: Tensor, gamma: Tensor, c: Tensor, eta: Tensor, A: Tensor, gA: Tensor, g_rows: Tensor
) -> Tensor:
    """Gradients to lr, gamma, c and eta, stacked."""
    gA = gA.clone(memory_format=torch.contiguous_format)
    grads = g_rows.clone(memory_format=torch.contiguous_format).unbind(0)
    levels = _levels([gamma, c, eta, lr])
    for n, vectors in zip(reversed(_sizes(lr.shape[-1])), reversed(levels), strict=True):
        _unjoin(n, vectors, grads, _blocks(A, n), _blocks(gA, n))
    gb, gc, gm, ge = grads
    return torch.stack([gA.diagonal(0, -2, -1) + ge, gb, gc, gm])


def _unjoin(
    n: int, vectors: Sequence[Tensor], grads: Sequence[Tensor], A: Tensor, gA: Tensor
) -> None:
    """One join in reverse: from gradients after it to gradients before it, in place."""
    (b1, b2), (c1, c2), (m1, m2), (e1, _) = (_halves(t, n) for t in vectors)
    (gb1, gb2), (gc1, gc2), (gm1, gm2), (ge1, _) = (_halves(t, n) for t in grads)
    low = gA[..., n:, :n]
    by_row = low @ torch.stack([A[..., n - 1, :n], e1], -1)  # towards b2 and c2
    by_column = torch.stack([b2, c2], -2) @ low  # towards the end row of A, and e1
    last_m = m2[..., -1:]
    gb1[..., -1] += (gb2 * b2).sum(-1)
    gc1[..., -1] += (gc2 * b2).sum(-1)
    gm1[..., -1] += (gc2 * c2).sum(-1) + (gm2 * m2).sum(-1)
    gb2.mul_(b1[..., -1:]).addcmul_(gc2, c1[..., -1:]).add_(by_row[..., 0])
    gc2.mul_(m1[..., -1:]).add_(by_row[..., 1])
    gm2.mul_(m1[..., -1:])
    gm2[..., -1] += (ge1 * e1).sum(-1)
    ge1.mul_(last_m).add_(by_column[..., 1, :])
    gA[..., n - 1, :n] += by_column[..., 0, :]


@join_momentum_backward.register_fake
def _(
    lr: Tensor, gamma: Tensor, c: Tensor, eta: Tensor, A: Tensor, gA: Tensor, g_rows: Tensor
) -> Tensor:
    return lr.new_empty(4, *lr.shape)


def _save_plain(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[1], output[0])


def _plain_backward(ctx, gA: Tensor, gb: Tensor):
    gamma, A = ctx.saved_tensors
    return tuple(join_plain_backward(gamma, A, gA, gb).unbind(0))


def _save_momentum(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs, output[0])


def _momentum_backward(ctx, gA: Tensor, g_rows: Tensor):
    *inputs, A = ctx.saved_tensors
    return tuple(join_momentum_backward(*inputs, A, gA, g_rows).unbind(0))


join_plain.register_autograd(_plain_backward, setup_context=_save_plain)
join_momentum.register_autograd(_momentum_backward, setup_context=_save_momentum)
