"""Models of one shape as one program: what differs between them, their weights, has a first axis.

Every part of the model runs under `torch.func.vmap`, so all members share each matrix product, and
blocks of one spec share a graph. The members' own parameters become views of the stacked ones: who
trains the stack has trained each member.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from blocks.init import Fill
from blocks.model import AbstractModel
from blocks.modules import BLOCK_MODULES
from playground.compile import products
from playground.spec import ModelSpec

Weights = Mapping[str, Tensor]
Summed = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of all models -> [R]
WHOLE = ("forward",)  # the bodies of a block without a loop


def is_whole(spec: ModelSpec) -> bool:
    """Whether every block is one graph; others have a loop that a graph of it would unroll."""
    return all(BLOCK_MODULES[block.kind].bodies == WHOLE for block in spec.blocks())  # pyright: ignore


class _Call(nn.Module):
    """Any use of a module, as a module: what `functional_call` can put weights into."""

    def __init__(self, inner: nn.Module, use: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.use = inner, use

    def forward(self, *args: Any) -> Any:
        return self.use(self.inner, *args)


class StackedWeights:
    """The parameters of R models, [R, ...] each; the models' own become views of them.

    What a model lacks of the host has there weights that do nothing; nobody trains those.

    Args:
        models: on one device, of one type; masks of the host (see `masks.py`).
        host: a model with every parameter of theirs; its own weights are never used.

    Raises:
        ValueError: a model is no mask of the host.
    """

    def __init__(self, models: Sequence[nn.Module], host: nn.Module) -> None:
        self.count, self._shown = len(models), False
        every, neutral = [dict(model.named_parameters()) for model in models], _neutral(host)
        if unknown := {name for own in every for name in own} - neutral.keys():
            raise ValueError(f"the host has no {', '.join(sorted(unknown))}.")
        self.own = {name: [own.get(name) for own in every] for name in neutral}
        self.all: dict[str, Tensor] = {}
        for name, each in self.own.items():
            like = next(p for p in each if p is not None)
            parts = [neutral[name](like) if p is None else p.detach() for p in each]
            self.all[name] = torch.stack(parts).requires_grad_()
            for parameter, part in zip(each, self.all[name].data.unbind(0), strict=True):
                if parameter is not None:
                    parameter.data = part

    def show_gradients(self) -> None:
        """Let the models' own parameters have their gradients too, as views, until `clear`."""
        for name, weight in self.all.items():
            grads = [None] * self.count if weight.grad is None else weight.grad.unbind(0)
            for own, grad in zip(self.own[name], grads, strict=True):
                if own is not None:
                    own.grad = grad
        self._shown = True

    def clear(self) -> None:
        """Forget all gradients."""
        for weight in self.all.values():
            weight.grad = None
        if self._shown:
            for own in (own for each in self.own.values() for own in each if own is not None):
                own.grad = None
        self._shown = False

    def under(self, part: str) -> Weights:
        """Those of a part of the model, by what `_Call` calls them."""
        before = f"{part}."
        return {
            f"inner.{name.removeprefix(before)}": weight
            for name, weight in self.all.items()
            if name.startswith(before)
        }


def _neutral(host: nn.Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """How every parameter of the host is made for a model that lacks it, from one that has it."""
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    for where, module in host.named_modules():
        fills = module.neutral() if hasattr(module, "neutral") else {}  # pyright: ignore
        for name, _ in module.named_parameters(recurse=False):
            path = f"{where}.{name}".lstrip(".")
            found[path] = partial(_filled, fills.get(name), path)
    return found


def _filled(fill: Fill | None, path: str, like: Tensor) -> Tensor:
    if fill is None:
        raise ValueError(f"{path} has no weights that do nothing.")
    value = torch.empty(like.shape, dtype=like.dtype)
    fill(value, torch.Generator())
    return value.to(like.device)


class Stacked:
    """R models: tokens [R, B, T] -> logits [R, B, T, L]; states have the axis R first as well.

    Frames and series likewise: the axis R stands before what one model reads and says.

    Args:
        spec: of the host.
        weights: theirs.
        model: the host, without torch.compile around its blocks; its own weights are never used.
        compiled: put torch.compile around the blocks, one graph per spec of a block.
    """

    def __init__(
        self, spec: ModelSpec, weights: StackedWeights, model: AbstractModel, *, compiled: bool
    ) -> None:
        self.weights, self.model, self.compiled = weights, model, compiled
        self._scored: dict[tuple[Summed, bool], Callable[..., Tensor]] = {}
        self._runs: dict[tuple[str, int], Callable[..., Any]] = {}
        blocks = spec.blocks()
        self._first = [blocks.index(block) for block in blocks]  # the block whose graph it shares
        self._enter, self._leave = self._end(_enter), self._end(_leave)

    def start(self, batch: int) -> TensorDict:
        """The states of all blocks before the first token, by index as text: [R, batch]."""
        states = {
            str(i): self._run("start", i)(self.weights.under(f"blocks.{i}"), batch)
            for i in range(len(self._first))
        }
        return TensorDict(states, batch_size=[self.weights.count, batch])

    def __call__(
        self,
        tokens: Tensor,
        state: TensorDict | None = None,
        *,
        positions: Tensor | None = None,
    ) -> Any:
        """As a model's forward, with the axis R in front of everything; state: from `start`."""
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no vmap
            x, after = self._through(tokens, state, positions)
            outputs = self._leave(self._around(), x, tokens)
        return outputs if after is None else (outputs, after)

    def losses(
        self, tokens: Tensor, targets: Tensor, summed: Summed, *, positions: Tensor | None = None
    ) -> Tensor:
        """`summed(outputs, targets)`, [R]; in the compiled form one graph with the head.

        A graph is for one number of positions, so where they are given it is eager.
        """
        with sdpa_kernel(SDPBackend.MATH):
            x, _ = self._through(tokens, None, positions)
            score = self._scoring(summed, self.compiled and positions is None)
            return score(self._around(), x, tokens, targets)

    def _scoring(self, summed: Summed, whole: bool) -> Callable[..., Tensor]:
        """Head and loss."""
        if (summed, whole) not in self._scored:
            leave = self._leave

            def score(weights: Weights, x: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
                return summed(leave(weights, x, tokens), targets)

            self._scored[summed, whole] = self._compiled(score, whole)
        return self._scored[summed, whole]

    def _through(
        self, tokens: Tensor, state: TensorDict | None, positions: Tensor | None
    ) -> tuple[Tensor, TensorDict | None]:
        """What enters the head, and the states after the last token."""
        x = self._enter(self._around(), tokens)
        after: dict[str, Any] = {}
        for i in range(len(self._first)):
            weights = self.weights.under(f"blocks.{i}")
            if state is None:
                x = self._run("begin", i)(weights, x)
            else:
                x, after[str(i)] = self._run("carry on", i)(weights, x, state[str(i)])
        if positions is not None:
            x = x.gather(2, positions[..., None].expand(-1, -1, -1, x.shape[-1]))
        return x, None if state is None else TensorDict(after, state.batch_size)

    def _end(self, use: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """One use of what lies around the blocks for all members: of their weights and tensors."""
        call = _Call(self.model, use)
        return vmap(lambda weights, *args: functional_call(call, weights, args))

    def _around(self) -> dict[str, Tensor]:
        """The weights of what lies around the blocks, by what `_Call` calls them."""
        every = self.weights.all.items()
        return {f"inner.{n}": w for n, w in every if not n.startswith("blocks.")}

    def _run(self, use: str, index: int) -> Callable[..., Any]:
        """One use of the block at `index` for all members at once."""
        first = self._first[index]
        if (use, first) not in self._runs:
            self._runs[use, first] = self._made(use, self.model.blocks[first])
        return self._runs[use, first]

    def _made(self, use: str, block: nn.Module) -> Callable[..., Any]:
        call = _Call(block, _USES[use])

        def one(weights: Weights, *args: Any) -> Any:
            return functional_call(call, dict(weights), args)

        def every(weights: Weights, *args: Any) -> Any:
            axes = (0, *(0 if isinstance(a, Tensor) or use == "carry on" else None for a in args))
            return vmap(one, in_dims=axes)(weights, *args)

        whole = self.compiled and use == "begin" and block.bodies == WHOLE
        return self._compiled(every, whole)

    def _compiled(self, function: Callable[..., Any], whole: bool) -> Callable[..., Any]:
        if not whole:
            return function
        return torch.compile(function, fullgraph=True, dynamic=False, options=products.options())


def _enter(model: Any, inputs: Tensor) -> Tensor:
    return model.enter(inputs)


def _leave(model: Any, x: Tensor, inputs: Tensor) -> Tensor:
    return model.leave(x, inputs)


def _begin(block: Any, x: Tensor) -> Tensor:
    return block(x, block.start(x.shape[0]))[0]


_USES: Mapping[str, Callable[..., Any]] = {
    "start": lambda block, batch: block.start(batch),
    "begin": _begin,
    "carry on": lambda block, x, state: block(x, state),
}
