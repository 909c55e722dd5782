"""The sampled loss: the whole softmax where all tokens are drawn, else an unbiased sum."""

import math

import pytest
import torch
import torch.nn.functional as F

from blocks.sampled import draw, sampled_loss

VOCAB, WIDTH, TOKENS = 60, 8, 12


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(TOKENS, WIDTH, generator=generator, dtype=torch.float64)
    weight = torch.randn(VOCAB, WIDTH, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, VOCAB, (TOKENS,), generator=generator)
    return x.requires_grad_(), weight.requires_grad_(), targets


def test_all_tokens_drawn_is_the_cross_entropy_with_its_gradients() -> None:
    x, weight, targets = problem()
    loss = sampled_loss(x, weight, targets, *draw(VOCAB, VOCAB))
    exact = F.cross_entropy(x @ weight.T, targets, reduction="none")
    assert torch.allclose(loss, exact, 0, 1e-9)
    grads = torch.autograd.grad(loss.sum(), (x, weight))
    for found, right in zip(grads, torch.autograd.grad(exact.sum(), (x, weight)), strict=True):
        assert torch.allclose(found, right, 0, 1e-9)


def test_the_estimated_sum_is_right_on_average() -> None:
    x, weight, targets = (t.detach() for t in problem())
    torch.manual_seed(1)
    own = (x * weight[targets]).sum(-1)
    sums = [(sampled_loss(x, weight, targets, *draw(VOCAB, 20)) + own).exp() for _ in range(4000)]
    exact = (x @ weight.T).exp().sum(-1)
    assert torch.allclose(torch.stack(sums).mean(0) / exact, torch.ones(TOKENS).double(), 0, 0.08)


def test_frequent_tokens_are_always_there_and_the_others_stand_for_more() -> None:
    torch.manual_seed(0)
    classes, stands_for = draw(VOCAB, 20)
    assert classes[:10].tolist() == list(range(10))
    assert len(set(classes.tolist())) == 20
    assert stands_for[:10].tolist() == [0.0] * 10
    assert stands_for[10:].tolist() == pytest.approx([math.log(5.0)] * 10)


def test_the_same_seed_draws_the_same_tokens() -> None:
    torch.manual_seed(3)
    first = draw(VOCAB, 20)[0]
    torch.manual_seed(3)
    assert torch.equal(first, draw(VOCAB, 20)[0])
