"""Attention inside a segment against a loop over rows, and the laws of a stream."""

import pytest
import torch
from torch import Tensor

from blocks.init import initialise
from blocks.rope import angles, rotate
from blocks.segment_attention import ContextOrder, SegmentAttention
from blocks.spec import AttentionSpec

DIM, SEGMENT, PERSISTENT = 16, 8, 3
ORDERS: tuple[ContextOrder, ...] = (
    "persistent_retrieved_segment",
    "persistent_segment_retrieved",
)


def make(
    order: ContextOrder = ORDERS[0], rope: bool = True, persistent: int = PERSISTENT
) -> tuple[SegmentAttention, Tensor]:
    module = SegmentAttention(
        AttentionSpec(heads=4, kv_heads=2, qk_norm="rms"),
        DIM,
        segment_len=SEGMENT,
        rope=rope,
        context_order=order,
    )
    initialise(module, 0)
    prefix = torch.randn(persistent, DIM, generator=torch.Generator().manual_seed(1))
    return module.double(), prefix.double()


def tokens(length: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, length, DIM, generator=generator, dtype=torch.float64)


def row_by_row(module: SegmentAttention, prefix: Tensor, x: Tensor, retrieved: Tensor) -> Tensor:
    """One segment, one row and head at a time: all persistent, retrieved and tokens up to i."""
    project = module.project
    q, (k, v) = project.normed_q(project.queries(x)), project.keys_values(x)
    rk, rv = project.keys_values(retrieved)
    pk, pv = project.keys_values(prefix)
    k, rk, pk = project.normed_k(k), project.normed_k(rk), project.normed_k(pk)
    if project.rope:
        turn = angles(torch.arange(x.shape[1])[None], project.width)
        q, k, rk = rotate(q, turn), rotate(k, turn), rotate(rk, turn)
    out = torch.zeros_like(q)
    for b in range(x.shape[0]):
        for h in range(project.heads):
            g = h // (project.heads // project.groups)
            for i in range(x.shape[1]):
                keys = torch.cat([pk[:, g], rk[b, : i + 1, g], k[b, : i + 1, g]])
                values = torch.cat([pv[:, g], rv[b, : i + 1, g], v[b, : i + 1, g]])
                scores = keys @ q[b, i, h] / project.width**0.5
                out[b, i, h] = scores.softmax(0) @ values
    return project.out(out.flatten(-2))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("rope", [True, False])
@pytest.mark.parametrize("persistent", [0, PERSISTENT])
@pytest.mark.parametrize("length", [1, SEGMENT - 1, SEGMENT])
def test_a_segment_equals_its_definition(
    order: ContextOrder, rope: bool, persistent: int, length: int
) -> None:
    module, prefix = make(order, rope, persistent)
    x, h = tokens(length, 2), tokens(length, 3)
    y, _ = module(x, h, module.start(2, prefix))
    assert (y - row_by_row(module, prefix, x, h)).abs().max() < 1e-12


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("parts", [[1] * 8, [3, 5], [0, 7, 1]])
def test_any_split_of_a_segment_equals_one_pass(order: ContextOrder, parts: list[int]) -> None:
    module, prefix = make(order)
    x, h = tokens(SEGMENT, 2), tokens(SEGMENT, 3)
    whole, _ = module(x, h, module.start(2, prefix))
    state, outputs = module.start(2, prefix), []
    for part, rows in zip(x.split(parts, 1), h.split(parts, 1), strict=True):
        y, state = module(part, rows, state)
        outputs.append(y)
    assert (torch.cat(outputs, dim=1) - whole).abs().max() < 1e-10
    assert state.filled == 0


def test_a_full_segment_leaves_an_empty_one() -> None:
    module, prefix = make()
    x, h = tokens(SEGMENT, 2), tokens(SEGMENT, 3)
    first, state = module(x, h, module.start(2, prefix))
    second, _ = module(x, h, state)
    assert torch.equal(first, second)
    _, state = module(x[:, :5], h[:, :5], state)
    assert state.filled == 5
    assert state.num_bytes() == 5 * (4 * 2 * 4 * 8 + 1)  # k, v of both streams, fp64; a bool


def test_neither_a_later_token_nor_a_later_retrieved_row_is_seen() -> None:
    module, prefix = make()
    x, h = tokens(SEGMENT, 2), tokens(SEGMENT, 3)
    y, _ = module(x, h, module.start(2, prefix))
    for t in range(SEGMENT):
        for changed in range(2):
            streams = [x.clone(), h.clone()]
            streams[changed][:, t] += 1.0
            z, _ = module(*streams, module.start(2, prefix))
            assert torch.equal(z[:, :t], y[:, :t])
            assert not torch.equal(z[:, t], y[:, t])


def test_what_a_padded_token_holds_reaches_nobody() -> None:
    module, prefix = make(persistent=0)
    x, h = tokens(SEGMENT, 2), tokens(SEGMENT, 3)
    mask = torch.ones(2, SEGMENT, dtype=torch.bool)
    mask[:, 0] = mask[0, 4] = False
    other, rows = x.clone(), h.clone()
    other[:, 0], rows[:, 0] = 50.0, -50.0
    y, _ = module(x, h, module.start(2, prefix), mask)
    z, _ = module(other, rows, module.start(2, prefix), mask)
    assert torch.equal(y[mask], z[mask]) and y.isfinite().all()


def test_padding_before_a_short_text_changes_nothing() -> None:
    module, prefix = make()
    x, h = tokens(5, 2), tokens(5, 3)
    y, _ = module(x, h, module.start(2, prefix))
    mask = torch.arange(SEGMENT).expand(2, -1) >= 3
    ahead = torch.full((2, 3, DIM), 9.0, dtype=x.dtype)
    padded, rows = torch.cat([ahead, x], dim=1), torch.cat([ahead, h], dim=1)
    state, outputs = module.start(2, prefix), []
    for part in (slice(0, 2), slice(2, 6), slice(6, 8)):
        z, state = module(padded[:, part], rows[:, part], state, mask[:, part])
        outputs.append(z)
    assert (torch.cat(outputs, dim=1)[:, 3:] - y).abs().max() < 1e-10


def test_a_call_beyond_the_segment_is_refused() -> None:
    module, prefix = make()
    _, state = module(tokens(5, 2), tokens(5, 3), module.start(2, prefix))
    with pytest.raises(ValueError, match="4 tokens do not fit behind the 5 of a segment of 8"):
        module(tokens(4, 2), tokens(4, 3), state)
