"""`unit_solve` against torch's triangular solve, with all gradients."""

import pytest
import torch
from torch import Tensor

from kernels.unit_solve import _solve, unit_solve

SHAPES = [  # leading axes, C, W
    ((1,), 1, 1),
    ((2, 3), 5, 7),
    ((3,), 16, 33),
    ((2,), 64, 40),
    ((1, 1), 70, 3),
]


def given(lead: tuple[int, ...], C: int, W: int) -> list[Tensor]:
    """A system as rules make them: products of unit keys, also equal ones, and any step below 2."""
    generator = torch.Generator().manual_seed(C)
    keys = torch.randn(*lead, C, 8, generator=generator, dtype=torch.float64)
    keys[..., C // 2 :, :] = keys[..., C // 2 : C // 2 + 1, :]
    keys = torch.nn.functional.normalize(keys, dim=-1)
    step = 2.0 * torch.rand(*lead, C, 1, generator=generator, dtype=torch.float64)
    right = torch.randn(*lead, C, W, generator=generator, dtype=torch.float64)
    return [step * (keys @ keys.mT), right]


def by_torch(system: Tensor, right: Tensor) -> Tensor:
    full = system.tril(-1) + torch.eye(system.shape[-1], dtype=system.dtype)
    return torch.linalg.solve_triangular(full, right, upper=False, unitriangular=True)


@pytest.mark.parametrize(("lead", "C", "W"), SHAPES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["fp64", "fp32"]
)
def test_solutions_and_gradients(
    lead: tuple[int, ...], C: int, W: int, dtype: torch.dtype, tolerance: float
) -> None:
    exact = [t.to(dtype).double().requires_grad_() for t in given(lead, C, W)]
    tensors = [t.detach().to(dtype).requires_grad_() for t in exact]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(*lead, C, W, generator=generator, dtype=torch.float64)
    wanted, found = by_torch(*exact), unit_solve(*tensors)
    slopes = torch.autograd.grad((wanted * weight).sum(), exact)
    ours = torch.autograd.grad((found * weight.to(dtype)).sum(), tensors)
    for one, other in zip([found, *ours], [wanted, *slopes], strict=True):
        assert one.dtype == dtype
        scale = max(1.0, other.abs().max().item())
        assert (one.double() - other).abs().max().item() <= tolerance * scale


def test_what_is_not_below_the_diagonal_is_not_read() -> None:
    system, right = given((2,), 20, 4)
    upper = torch.full_like(system, torch.nan).triu()
    assert torch.equal(unit_solve(system.tril(-1) + upper, right), unit_solve(system, right))


def test_the_operator_is_one_for_torch() -> None:
    system, right = (t.requires_grad_() for t in given((2, 2), 5, 3))
    torch.library.opcheck(_solve, (system, right, torch.float64))


def test_other_layouts_are_read_as_what_they_are() -> None:
    system, right = given((2,), 17, 3)
    turned = [t.mT.contiguous().mT for t in (system, right)]
    assert torch.equal(unit_solve(*turned), unit_solve(system, right))


def test_replicas_are_more_systems() -> None:
    each = [given((2,), 5, 3) for _ in range(3)]
    systems = torch.stack([system for system, _ in each])
    found = torch.func.vmap(unit_solve, in_dims=(0, None))(systems, each[0][1])
    for one, (system, _) in zip(found, each, strict=True):
        assert torch.equal(one, unit_solve(system, each[0][1]))


def test_bf16_is_refused_where_it_would_be_wrong() -> None:
    system, right = given((1,), 2, 2)
    with pytest.raises(TypeError, match="bf16 wrongly"):
        unit_solve(system, right, torch.bfloat16)
    with pytest.raises(TypeError, match="one dtype"):
        unit_solve(system, right.float())
