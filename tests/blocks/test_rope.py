"""Rotary positions depend on differences only, however far a stream has run."""

import pytest
import torch

from blocks.rope import angles, rotate


def make_pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 1, 3, 8, generator=generator, dtype=torch.float64)
    return x[0], x[1]


@pytest.mark.parametrize("far", [0, 1, 1000, 10**9, 2**40])
def test_a_score_depends_on_the_distance_alone(far: int) -> None:
    q, k = make_pair()

    def score(at: int) -> torch.Tensor:
        turned = [rotate(x, angles(torch.tensor([[p]]), 8)) for x, p in ((q, at + 5), (k, at))]
        return (turned[0] * turned[1]).sum(-1)

    # an angle near 2^40 radians is known to 2^-13 in fp64
    assert torch.allclose(score(far), score(0), rtol=0, atol=1e-12 * max(far, 1) + 1e-12)


def test_position_zero_turns_nothing_and_lengths_stay() -> None:
    q, _ = make_pair()
    assert torch.equal(rotate(q, angles(torch.tensor([[0]]), 8)), q)
    turned = rotate(q, angles(torch.tensor([[77]]), 8))
    assert torch.allclose(turned.norm(dim=-1), q.norm(dim=-1))


def test_narrow_numbers_are_turned_in_fp32() -> None:
    q, _ = make_pair()
    turn = angles(torch.tensor([[123]]), 8)
    assert rotate(q.bfloat16(), turn).dtype == torch.bfloat16
    exact = rotate(q.bfloat16().double(), turn)
    assert torch.equal(rotate(q.bfloat16(), turn), exact.float().bfloat16())


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"heads: .* 7 wide"):
        angles(torch.tensor([0]), 7)
