"""The optimizers of a stack: a few calls where each member's own would make hundreds.

Every member keeps its own AdamW, with its numbers and its state; here is how all of them step.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from playground.compile.stacked import StackedWeights

Grads = Mapping[str, Sequence[Tensor]]  # of every weight that has them, member by member


class _Moved(NamedTuple):
    """One weight of one member, and what its optimizer keeps of it."""

    name: str
    row: int
    weight: Tensor
    mean: Tensor
    square: Tensor
    step: Tensor


class StackedOptimizers:
    """AdamW of every member, over gradients that lie stacked.

    States that are loaded have to be there before the first step.

    Args:
        optimizers: from `make_optimizer`, in the order of the members.
        weights: those of the members' models.
    """

    def __init__(self, optimizers: Sequence[torch.optim.AdamW], weights: StackedWeights) -> None:
        self.optimizers, self.weights = list(optimizers), weights
        self._moved: dict[tuple[int, int, frozenset[str]], list[_Moved]] = {}
        self._names: dict[Tensor, str] = {
            own: name for name, each in weights.own.items() for own in each if own is not None
        }
        self._lacking = {
            name: torch.tensor([own is None for own in each]) for name, each in weights.own.items()
        }

    def norms(self) -> Tensor:
        """The norm of each member's gradients [R], of the weights that it has; on the CPU."""
        grads = {n: w.grad for n, w in self.weights.all.items() if w.grad is not None}
        each = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in grads.values()]
        lacking = torch.stack([self._lacking[name] for name in grads])
        found = torch.stack(each).to("cpu", torch.float64).masked_fill(lacking, 0.0)
        return torch.linalg.vector_norm(found, dim=0)

    def scale(self, factors: Sequence[float]) -> None:
        """Multiply the gradients of every member by a factor."""
        if set(factors) == {1.0}:
            return
        first = next(iter(self.weights.all.values()))  # all are on one device, of one type
        by = torch.tensor(factors, dtype=first.dtype, device=first.device)
        for weight in self.weights.all.values():
            if weight.grad is not None:
                weight.grad.mul_(by.view(-1, *[1] * (weight.ndim - 1)))

    def step(self, rows: Sequence[int]) -> None:
        """Move the weights of these members, each by its own numbers."""
        every = self.weights.all.items()
        grads = {name: w.grad.unbind(0) for name, w in every if w.grad is not None}
        calls: dict[tuple[float, ...], list[_Moved]] = defaultdict(list)
        for row in rows:
            for number, group in enumerate(self.optimizers[row].param_groups):
                numbers = (group["lr"], *group["betas"], group["eps"], group["weight_decay"])
                if moved := self._of(row, number, grads):
                    calls[numbers] += moved
        for (lr, beta1, beta2, eps, decay), moved in calls.items():
            names, places, *lists = (list(each) for each in zip(*moved, strict=True))
            weights, means, squares, steps = lists
            with torch.no_grad():
                adamw(
                    weights,
                    [grads[name][row] for name, row in zip(names, places, strict=True)],
                    means,
                    squares,
                    [],
                    steps,
                    fused=True,
                    amsgrad=False,
                    beta1=beta1,
                    beta2=beta2,
                    lr=lr,
                    weight_decay=decay,
                    eps=eps,
                    maximize=False,
                )

    def _of(self, row: int, number: int, grads: Grads) -> list[_Moved]:
        """The weights of a group that have gradients."""
        key = (row, number, frozenset(grads))
        if key not in self._moved:
            self._moved[key] = list(self._made(row, number, grads))
        return self._moved[key]

    def _made(self, row: int, number: int, grads: Grads) -> Iterator[_Moved]:
        optimizer = self.optimizers[row]
        for weight in optimizer.param_groups[number]["params"]:
            name = self._names[weight]
            if name not in grads:
                continue
            if not (state := optimizer.state[weight]):  # as torch begins it
                state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
                state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(weight) for _ in "mv")
            yield _Moved(name, row, weight, state["exp_avg"], state["exp_avg_sq"], state["step"])
