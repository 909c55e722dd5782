"""The optimizers of a stack do what each member's own would."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from blocks.init import constant
from playground.compile.stacked import StackedWeights
from playground.spec.run import OptimSpec
from playground.train.optim import (
    clipping,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
)
from playground.train.optims import StackedOptimizers

NUMBERS = (
    OptimSpec(lr=1e-2, weight_decay=0.5),
    OptimSpec(lr=1e-2, weight_decay=0.5),
    OptimSpec(lr=3e-3, betas=(0.8, 0.9), eps=1e-6, clip=0.1),
)


class Full(nn.Module):
    """A matrix, a vector, a number, and a matrix that no loss sees."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(4, 3))
        self.gain = nn.Parameter(torch.randn(3))
        self.number = nn.Parameter(torch.randn(()))
        self.unseen = nn.Parameter(torch.randn(2, 2))

    def neutral(self) -> dict[str, object]:
        return {"gain": constant(1.0)}


class Bare(Full):
    """The same without the vector."""

    def __init__(self) -> None:
        super().__init__()
        del self.gain


def stacked() -> tuple[list[nn.Module], list[nn.Module], StackedOptimizers]:
    """Models, copies of them that train alone, and the optimizers of the stack."""
    torch.manual_seed(0)
    models = [Full(), Bare(), Full()]
    alone = deepcopy(models)
    weights = StackedWeights(models, Full())
    optimizers = [make_optimizer(s, m) for s, m in zip(NUMBERS, models, strict=True)]
    return list(models), list(alone), StackedOptimizers(optimizers, weights)


def give(optimizers: StackedOptimizers, alone: list[nn.Module], step: int) -> None:
    """The same gradients to the stack and to the models alone."""
    torch.manual_seed(step)
    for name, weight in optimizers.weights.all.items():
        if name == "unseen":
            continue
        weight.grad = torch.randn_like(weight)
        for model, grad in zip(alone, weight.grad.clone(), strict=True):
            if hasattr(model, name):
                model.get_parameter(name).grad = grad


def test_a_stack_steps_as_its_members_would_alone() -> None:
    models, alone, optimizers = stacked()
    own = [make_optimizer(s, m) for s, m in zip(NUMBERS, alone, strict=True)]
    for step in range(4):
        give(optimizers, alone, step)
        norms = optimizers.norms().tolist()
        for model, spec, optimizer, norm in zip(alone, NUMBERS, own, norms, strict=True):
            grads = [p for p in model.parameters() if p.grad is not None]
            found = torch.nn.utils.clip_grad_norm_(grads, spec.clip)
            assert norm == pytest.approx(found.item(), rel=1e-6)
            optimizer.step()
        factors = [clipping(norm, spec.clip) for norm, spec in zip(norms, NUMBERS, strict=True)]
        assert factors[2] < 1
        optimizers.scale(factors)
        optimizers.step(range(3))
    for model, other in zip(models, alone, strict=True):
        for name, weight in other.named_parameters():
            torch.testing.assert_close(model.get_parameter(name), weight, rtol=1e-6, atol=1e-7)
    assert torch.equal(optimizers.weights.all["gain"][1], torch.ones(3))  # what it has not stays
    for optimizer, model, one, other in zip(optimizers.optimizers, models, own, alone, strict=True):
        ours, theirs = optimizer_tensors(optimizer, model), optimizer_tensors(one, other)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-7)


def test_states_that_were_loaded_go_on_from_their_own_counts() -> None:
    models, alone, optimizers = stacked()
    give(optimizers, alone, 0)
    own = [make_optimizer(NUMBERS[0], m) for m in alone]
    for optimizer in own[1:]:
        optimizer.step()  # two members have been trained for a step, the first has not
    for i, (optimizer, model, one, other) in enumerate(
        zip(optimizers.optimizers, models, own, alone, strict=True)
    ):
        optimizers.optimizers[i] = make_optimizer(NUMBERS[0], model)
        model.load_state_dict(other.state_dict())
        tensors = optimizer_tensors(one, other)
        load_optimizer_tensors(optimizers.optimizers[i], model, tensors)
        assert (len(optimizer.state), bool(tensors)) == (0, i > 0)
    for step in (1, 2):
        give(optimizers, alone, step)
        optimizers.step(range(3))
        for optimizer in own:
            optimizer.step()
    for optimizer, model, one, other in zip(optimizers.optimizers, models, own, alone, strict=True):
        ours, theirs = optimizer_tensors(optimizer, model), optimizer_tensors(one, other)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-7)
        for name, weight in other.named_parameters():
            torch.testing.assert_close(model.get_parameter(name), weight, rtol=1e-6, atol=1e-7)


def test_a_group_without_gradients_stays() -> None:
    models, alone, optimizers = stacked()
    give(optimizers, alone, 0)
    for name in ("gain", "number"):  # all that is not decayed
        optimizers.weights.all[name].grad = None
    before = [deepcopy(model.state_dict()) for model in models]
    optimizers.step(range(3))
    for model, was in zip(models, before, strict=True):
        assert not torch.equal(model.get_parameter("matrix"), was["matrix"])
        assert torch.equal(model.get_parameter("number"), was["number"])


def test_members_that_are_over_do_not_move() -> None:
    models, alone, optimizers = stacked()
    give(optimizers, alone, 0)
    before = [deepcopy(model.state_dict()) for model in models]
    optimizers.step([0, 2])
    pairs = zip(models, before, strict=True)
    moved = [not torch.equal(m.get_parameter("matrix"), b["matrix"]) for m, b in pairs]
    assert moved == [True, False, True]
    assert not optimizers.optimizers[1].state


def test_gradients_that_were_shown_are_forgotten_with_the_others() -> None:
    models, alone, optimizers = stacked()
    give(optimizers, alone, 0)
    assert models[0].get_parameter("matrix").grad is None
    optimizers.weights.show_gradients()
    shown = models[1].get_parameter("matrix").grad
    assert shown is not None
    assert torch.equal(shown, optimizers.weights.all["matrix"].grad[1])  # pyright: ignore
    optimizers.weights.clear()
    every = [p for model in models for p in model.parameters()]
    assert all(p.grad is None for p in [*every, *optimizers.weights.all.values()])


def test_clipping_is_that_of_torch() -> None:
    for norm, most in ((0.5, 1.0), (2.0, 1.0), (7.0, 0.3)):
        (weight,) = weights = [nn.Parameter(torch.zeros(1))]
        weight.grad = torch.tensor([norm])
        torch.nn.utils.clip_grads_with_norm_(weights, most, torch.tensor(norm))
        assert norm * clipping(norm, most) == pytest.approx(weight.grad.item(), rel=1e-6)
    assert clipping(5.0, 0.0) == 1.0
