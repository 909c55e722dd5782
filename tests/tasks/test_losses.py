"""Losses: sums over what is scored, by hand, stacked or not, in fp32 at least."""

import math

import pytest
import torch
import torch.nn.functional as F

from playground.tasks.base import summed_loss
from playground.tasks.losses import BERNOULLI, CROSS_ENTROPY, IGNORE, Distance

DISTANCES = ("squared", "absolute", "huber")


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_cross_entropy_is_torchs_own_bit_for_bit() -> None:
    logits, targets = numbers(2, 5, 7), torch.arange(10).view(2, 5) % 7
    targets[0, 3] = IGNORE
    whole = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    assert torch.equal(CROSS_ENTROPY.summed(logits, targets), whole)
    assert summed_loss(logits, targets) == whole.item()
    assert CROSS_ENTROPY.scored(targets) == 9


def test_bernoulli_sums_the_keys_of_scored_frames() -> None:
    logits = torch.tensor([[[0.0, 2.0], [5.0, -5.0]]])
    targets = torch.tensor([[[1.0, 0.0], [IGNORE, IGNORE]]])
    wanted = math.log(2) + math.log1p(math.exp(2.0))
    assert BERNOULLI.summed(logits, targets).item() == pytest.approx(wanted)
    assert BERNOULLI.scored(targets) == 1


def test_what_a_model_says_of_a_frame_that_is_not_scored_changes_nothing() -> None:
    logits, targets = numbers(2, 3, 4), torch.zeros(2, 3, 4)
    targets[1, 2] = IGNORE
    wild = logits.clone()
    wild[1, 2] = 1e30
    found = [logits.requires_grad_(), wild.requires_grad_()]
    losses = [BERNOULLI.summed(one, targets) for one in found]
    assert torch.equal(losses[0], losses[1])
    grads = [torch.autograd.grad(one, x)[0] for one, x in zip(losses, found, strict=True)]
    assert torch.equal(grads[0], grads[1])
    assert not grads[1][1, 2].any()


@pytest.mark.parametrize(
    ("kind", "wanted"), [("squared", 0.25 + 9), ("absolute", 3.5), ("huber", 0.125 + 2.5)]
)
def test_distances_by_hand(kind: str, wanted: float) -> None:
    said, targets = torch.tensor([[[1.5, -2.0]]]), torch.tensor([[[1.0, 1.0]]])
    assert Distance(kind).summed(said, targets).item() == pytest.approx(wanted)
    assert Distance(kind).scored(targets) == 2


@pytest.mark.parametrize("kind", ["tokens", "frames", *DISTANCES])
def test_stacked_sums_are_those_of_each_member(kind: str) -> None:
    outputs = numbers(3, 2, 4, 5)
    if kind == "tokens":
        loss, targets = CROSS_ENTROPY, torch.arange(24).view(3, 2, 4) % 5
        targets[1, 0, 0] = IGNORE
    elif kind == "frames":
        loss, targets = BERNOULLI, (numbers(3, 2, 4, 5, seed=1) > 0).float()
        targets[2, 1, 3] = IGNORE
    else:
        loss, targets = Distance(kind), numbers(3, 2, 4, 5, seed=1)
    each = [loss.summed(o, t) for o, t in zip(outputs, targets, strict=True)]
    torch.testing.assert_close(loss.summed(outputs, targets, stacked=True), torch.stack(each))
    assert sum(loss.scored(part) for part in targets) == loss.scored(targets)


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BERNOULLI, Distance("squared")])
def test_low_precision_is_summed_in_fp32(loss) -> None:
    outputs = numbers(1, 2, 3)
    targets = torch.zeros(1, 2).long() if loss is CROSS_ENTROPY else torch.zeros(1, 2, 3)
    assert loss.summed(outputs.bfloat16(), targets).dtype == torch.float32
    assert loss.summed(outputs.double(), targets).dtype == torch.float64
