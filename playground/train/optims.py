"""The optimizers of a stack: a few calls where each member's own would make hundreds.

Every member keeps its own AdamW, with its numbers and its state; here is how all of them step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from playground.compile.stacked import StackedWeights

Part = tuple[str, int, int]  # a weight, and from which row to which


@dataclass
class _Call:
    """One fused step: what it moves, and what the optimizers keep of that."""

    parts: list[Part] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)


class StackedOptimizers:
    """AdamW of every member, over gradients that lie stacked.

    What the optimizers keep lies stacked as well; their own states become views of it. States that
    are loaded have to be there before the first step.

    Args:
        optimizers: from `make_optimizer`, in the order of the members.
        weights: those of the members' models.
    """

    def __init__(self, optimizers: Sequence[torch.optim.AdamW], weights: StackedWeights) -> None:
        self.optimizers, self.weights = list(optimizers), weights
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}  # means and squares, [R, ...]
        first = next(iter(weights.all.values()))  # all are on one device, of one type
        sizes = (len(weights.all), weights.count)
        self._counts = torch.zeros(sizes, dtype=torch.float32, device=first.device)
        self._index = {name: i for i, name in enumerate(weights.all)}
        self._names: dict[Tensor, str] = {
            own: name for name, each in weights.own.items() for own in each if own is not None
        }
        self._lacking = {
            name: torch.tensor([own is None for own in each]) for name, each in weights.own.items()
        }
        self._lacks: dict[frozenset[str], Tensor] = {}  # by the weights that have gradients
        self._plans: dict[object, tuple[list[_Call], Tensor]] = {}

    def norms(self) -> Tensor:
        """The norm of each member's gradients [R], of the weights that it has; on the CPU."""
        grads = {n: w.grad for n, w in self.weights.all.items() if w.grad is not None}
        each = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in grads.values()]
        names = frozenset(grads)
        if names not in self._lacks:
            self._lacks[names] = torch.stack([self._lacking[name] for name in grads])
        found = torch.stack(each).to("cpu", torch.float64).masked_fill(self._lacks[names], 0.0)
        return torch.linalg.vector_norm(found, dim=0)

    def scale(self, factors: Sequence[float]) -> None:
        """Multiply the gradients of every member by a factor."""
        if set(factors) == {1.0}:
            return
        first = next(iter(self.weights.all.values()))
        by = torch.tensor(factors, dtype=first.dtype, device=first.device)
        for weight in self.weights.all.values():
            if weight.grad is not None:
                weight.grad.mul_(by.view(-1, *[1] * (weight.ndim - 1)))

    def step(self, rows: Sequence[int]) -> None:
        """Move the weights of these members, each by its own numbers."""
        grads = {name: w.grad for name, w in self.weights.all.items() if w.grad is not None}
        groups = [
            (row, i, (group["lr"], *group["betas"], group["eps"], group["weight_decay"]))
            for row in rows
            for i, group in enumerate(self.optimizers[row].param_groups)
        ]
        every = list(dict.fromkeys(numbers for *_, numbers in groups))
        shared = tuple((row, i, every.index(numbers)) for row, i, numbers in groups)
        key = (shared, frozenset(grads))
        if key not in self._plans:
            self._plans[key] = self._planned(shared, grads)
        calls, moved = self._plans[key]
        self._counts += moved
        for (lr, beta1, beta2, eps, decay), call in zip(every, calls, strict=True):
            if not call.parts:  # a group whose weights have no gradients
                continue
            with torch.no_grad():
                torch.ops.aten._fused_adamw_.default(
                    call.weights,
                    [grads[name][start:end] for name, start, end in call.parts],
                    call.means,
                    call.squares,
                    [],
                    call.steps,
                    amsgrad=False,
                    beta1=beta1,
                    beta2=beta2,
                    lr=lr,
                    weight_decay=decay,
                    eps=eps,
                    maximize=False,
                )

    def _planned(
        self, shared: Sequence[tuple[int, int, int]], grads: Mapping[str, Tensor]
    ) -> tuple[list[_Call], Tensor]:
        """A call for each of the numbers, and 1 where a weight of a member is moved [names, R].

        Args:
            shared: row, group of its optimizer, and which of the numbers it has.
            grads: of the weights that have them.
        """
        which: dict[tuple[str, int], int] = {}
        for row, group, number in shared:
            for weight in self.optimizers[row].param_groups[group]["params"]:
                if (name := self._names[weight]) in grads:
                    which[name, row] = number
                    self._bind(name, row, weight)
        calls = [_Call() for _ in range(1 + max((number for *_, number in shared), default=-1))]
        moved = torch.zeros_like(self._counts)
        for name in dict.fromkeys(name for name, _ in which):
            counts = self._counts[self._index[name]].tolist()
            alike = [(which.get((name, row)), count) for row, count in enumerate(counts)]
            for start, end in _runs(alike):
                if (number := alike[start][0]) is not None:
                    moved[self._index[name], start:end] = 1
                    self._add(calls[number], (name, start, end))
        return calls, moved

    def _add(self, call: _Call, part: Part) -> None:
        name, start, end = part
        means, squares = self._kept[name]
        call.parts.append(part)
        call.weights.append(self.weights.all[name].detach()[start:end])
        call.means.append(means[start:end])
        call.squares.append(squares[start:end])
        call.steps.append(self._counts[self._index[name], start])

    def _bind(self, name: str, row: int, weight: Tensor) -> None:
        """Let the state of a weight lie in what is stacked, with what was loaded into it."""
        like = self.weights.all[name]
        if name not in self._kept:
            self._kept[name] = torch.zeros_like(like), torch.zeros_like(like)
        count = self._counts[self._index[name], row]
        means, squares = self._kept[name]
        room = {"step": count, "exp_avg": means[row], "exp_avg_sq": squares[row]}
        state = self.optimizers[row].state[weight]
        for quantity, place in room.items():
            if (own := state.get(quantity)) is not None:
                place.copy_(own)
            state[quantity] = place


def _runs(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    """From where to where equal values follow each other."""
    edges = [
        i for i in range(len(values) + 1) if i in (0, len(values)) or values[i] != values[i - 1]
    ]
    return pairwise(edges)
