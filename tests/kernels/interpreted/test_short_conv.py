"""The fused convolution against a memory layer's own operations, with all gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor

import playground as pg
from blocks.short_conv import short_conv as plain
from kernels.short_conv import _conv, _places, short_conv
from playground.compile import Target, make_plan

SMALL = ("dim=8", "depth=2", "vocab=11", "block.memory.heads=2")


def given(
    T: int, width: int, M: int, *, masked: bool, dtype: torch.dtype = torch.float64, B: int = 2
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None]:
    """x, weight and cache, and a mask with padding at both ends and between."""
    g = torch.Generator().manual_seed(T + width)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=torch.float64).to(dtype).requires_grad_()

    mask = torch.rand(B, T, generator=g) < 0.6 if masked else None
    return (draw(B, T, M), draw(width, M), draw(B, width - 1, M)), mask


def live(y: Tensor, mask: Tensor | None) -> Tensor:
    """y without what it says at padding."""
    return y if mask is None else torch.where(mask[..., None, None], y, 0.0)


def results(run: Any, tensors: Any, mask: Tensor | None, **choices: Any) -> list[Tensor]:
    """Outputs and all gradients of a weighted sum of them."""
    y, cache = run(*tensors, mask, **choices)
    y = live(y, mask)
    g = torch.Generator().manual_seed(5)
    parts = [(t * torch.randn(t.shape, generator=g, dtype=torch.float64)) for t in (y, cache)]
    loss = parts[0].sum() + parts[1].sum()
    return [y, cache, *torch.autograd.grad(loss, tensors, materialize_grads=True)]


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(
    ("T", "width", "M", "heads", "silu", "unit"),
    [
        (1, 4, 6, 2, True, True),
        (2, 4, 6, 1, True, False),
        (5, 1, 6, 3, True, True),
        (13, 3, 10, 2, False, True),
        (40, 4, 5, 1, True, True),
        (0, 3, 4, 2, True, True),
    ],
)
def test_outputs_and_all_gradients(
    T: int, width: int, M: int, heads: int, silu: bool, unit: bool, masked: bool
) -> None:
    tensors, mask = given(T, width, M, masked=masked)
    choices = {"heads": heads, "silu": silu, "unit": unit}
    found = results(short_conv, tensors, mask, **choices)
    wanted = results(plain, tensors, mask, **choices)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        error = (one - other).abs()
        assert torch.isfinite(one).all()
        assert not error.numel() or error.max() <= 1e-12 * max(1.0, other.abs().max().item())


@pytest.mark.parametrize(("dtype", "ulp"), [(torch.float32, 6e-8), (torch.float16, 5e-4)])
def test_lower_precision_is_no_worse_than_torch(dtype: torch.dtype, ulp: float) -> None:
    tensors, mask = given(9, 4, 8, masked=True, dtype=dtype)
    choices: dict[str, Any] = {"heads": 2, "silu": True, "unit": True}
    exact = results(plain, [t.detach().double().requires_grad_() for t in tensors], mask, **choices)
    torchs = results(plain, tensors, mask, **choices)
    found = results(short_conv, tensors, mask, **choices)
    for one, other, wanted in zip(found, torchs, exact, strict=True):
        assert one.dtype == other.dtype
        error = (one.double() - wanted).square().mean().sqrt()
        bound = 2.0 * (other.double() - wanted).square().mean().sqrt()
        assert error <= bound + ulp * wanted.square().mean().sqrt()


@pytest.mark.parametrize("masked", [False, True])
def test_it_can_be_taken_up_at_any_token(masked: bool) -> None:
    (x, weight, cache), mask = given(9, 4, 4, masked=masked)
    choices: dict[str, Any] = {"heads": 2, "silu": True, "unit": True}
    whole, end = short_conv(x, weight, cache, mask, **choices)
    for at in (0, 1, 5, 8, 9):
        masks = (None, None) if mask is None else (mask[:, :at], mask[:, at:])
        first, then = short_conv(x[:, :at], weight, cache, masks[0], **choices)
        second, last = short_conv(x[:, at:], weight, then, masks[1], **choices)
        assert torch.equal(torch.cat([first, second], 1), whole)
        assert torch.equal(last, end)


def test_padding_is_never_looked_at() -> None:
    (x, weight, cache), mask = given(9, 4, 4, masked=True)
    assert mask is not None and not mask.all() and mask.any()
    choices: dict[str, Any] = {"heads": 1, "silu": True, "unit": False}
    wanted = short_conv(x, weight, cache, mask, **choices)
    x = torch.where(mask[..., None], x, torch.nan)
    for one, other in zip(short_conv(x, weight, cache, mask, **choices), wanted, strict=True):
        assert torch.equal(one, other)


def test_the_operator_is_one_for_torch() -> None:
    (x, weight, cache), mask = given(3, 3, 4, masked=True)
    tensors = (x, weight.detach()[None].requires_grad_(), cache)
    torch.library.opcheck(_conv, (*tensors, *_places(mask), 2, True, True))


def test_replicas_have_weights_of_their_own() -> None:
    (x, weight, cache), mask = given(4, 3, 4, masked=True)
    several = [torch.stack([t.detach(), 0.5 * t.detach()]).requires_grad_() for t in (x, weight)]

    def run(x: Tensor, weight: Tensor) -> Tensor:
        y, last = short_conv(x, weight, cache, mask, heads=2, silu=True, unit=True)
        return torch.cat([y.flatten(-2), last], 1)

    found = torch.func.vmap(run)(*several)
    wanted = torch.stack([run(x, w) for x, w in zip(*several, strict=True)])
    assert torch.equal(found, wanted)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), several),
        torch.autograd.grad(wanted.square().sum(), several),
        strict=True,
    ):
        assert (one - other).abs().max() <= 1e-13


def test_bf16_is_refused_where_it_would_be_wrong() -> None:
    (x, weight, cache), _ = given(2, 2, 2, masked=False)
    with pytest.raises(TypeError, match="bf16 wrongly"):
        short_conv(x.bfloat16(), weight, cache, heads=1, silu=True, unit=True)


def test_a_model_says_the_same_with_it_and_token_by_token() -> None:
    spec = pg.load("specs/models/gated_delta.yaml", *SMALL)
    models = [pg.build(spec, lowering=name).double().eval() for name in ("triton", "chunked")]
    fused, torchs = (m.plan.node("blocks.0.memory").conv for m in models)  # pyright: ignore
    assert (fused, torchs) == ("fused", "torch")
    tokens = torch.arange(7).view(1, 7)
    mask = torch.tensor([[False, True, True, False, True, True, True]])
    with torch.no_grad():
        wanted, _ = models[1](tokens, models[1].start(1), mask=mask)
        found, state = models[0](tokens[:, :4], models[0].start(1), mask=mask[:, :4])
        outputs = [found]
        for t in range(4, 7):
            y, state = models[0](tokens[:, t : t + 1], state, mask=mask[:, t : t + 1])
            outputs.append(y)
    error = (torch.cat(outputs, 1) - wanted)[mask].abs().max()
    assert error <= 1e-10 * wanted.abs().max()


def test_a_plan_says_what_runs_the_convolutions() -> None:
    spec = pg.load("specs/models/gated_delta.yaml", *SMALL)
    node = make_plan(spec, Target(device="cuda"), lowering="triton").node("blocks.0.memory")
    assert node.conv == "fused"
    assert "convolution, activation and unit length in one kernel" in node.why
    node = make_plan(spec, Target(device="cuda")).node("blocks.0.memory")
    assert node.conv == "torch"
    assert any(why.startswith("convolutions not fused: one kind of GPU") for why in node.why)
