"""A body of a block under torch.compile: which calls have a graph, and which share one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from playground.compile import products

Method = Callable[..., tuple[Tensor, Any]]
Shapes = tuple[torch.Size, ...]


class CompiledBody:
    """A block's method under torch.compile; eager where that never pays.

    A single token is as fast without, and parts of segments have too many shapes. The first length
    has a graph of its own, as in training; one more, for any length, serves all the others, or
    each of them has its own.
    """

    def __init__(
        self,
        method: Method,
        only: int | None,
        *,
        symbolic: bool = True,
        replayed: bool = False,
    ) -> None:
        """A body that is compiled when it is first called.

        Args:
            method: `(x, state, mask)`.
            only: the one length worth a graph, None for any but 1.
            symbolic: whether lengths after the first share a graph.
            replayed: whether kernels are recorded and replayed where shapes come again.
        """
        self.method, self.only, self.symbolic = method, only, symbolic
        self.compiled = torch.compile(
            method, fullgraph=True, dynamic=False, options=products.options()
        )
        self.replay = Replay(method) if replayed else None
        self._first: list[int] | None = None  # the lengths of the first call

    def __call__(self, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Tensor, Any]:
        """The method's own result."""
        length = x.shape[1]
        eager = length < 2 or (self.only is not None and length != self.only)
        replay = None if mask is not None or (eager and length != 1) else self.replay
        if replay is not None and replay.takes(x, state):
            return replay(x, state)
        if eager:
            y, after = self.method(x, state, mask)
            if replay is not None:
                replay.saw(x, state, after)
            return y, after
        # learned parts of a fresh state are views of every row: one layout, one graph
        state = state.contiguous()
        if self.symbolic:
            self._free_lengths([x, *_tensors(state)], mask)
        return self.compiled(x, state, mask)

    def _free_lengths(self, tensors: list[Tensor], mask: Tensor | None) -> None:
        """Let those lengths be symbols of the graph that are not the first call's."""
        lengths = [t.shape[1] if t.ndim > 1 else 0 for t in tensors]
        if self._first is None:
            self._first = lengths
        for t, now, first in zip(tensors, lengths, self._first, strict=True):
            if now != first and now > 1:
                torch._dynamo.maybe_mark_dynamic(t, 1)
        if mask is not None and lengths[0] != self._first[0]:
            torch._dynamo.maybe_mark_dynamic(mask, 1)


class Replay:
    """A method whose kernels are recorded as a CUDA graph, for calls whose shapes come again.

    These are calls of the first length, as in training, and single tokens without gradients where
    the state neither grows nor shrinks: a memory, a window that is full. torch keeps the recorded
    tensors; what they hold is overwritten at the next replay, so results are copied out of them.
    """

    def __init__(self, method: Method) -> None:
        self.recorded = torch.compile(method, fullgraph=True, dynamic=False, mode="reduce-overhead")
        self._first: Shapes | None = None
        self._steady: set[Shapes] = set()

    def takes(self, x: Tensor, state: Any) -> bool:
        """Whether a call is recorded, or replayed where it already was."""
        shapes = _shapes(x, state)
        if x.shape[1] < 2:
            return not torch.is_grad_enabled() and shapes in self._steady
        if self._first is None:
            self._first = shapes
        return shapes == self._first

    def saw(self, x: Tensor, state: Any, after: Any) -> None:
        """Note a single token's call; the state was `state` before and `after` after it."""
        if _shapes(x, state) == _shapes(x, after):
            self._steady.add(_shapes(x, state))

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The method's own result, in tensors that no replay overwrites."""
        y, after = self.recorded(x, state.contiguous(), None)
        return y.clone(), after.clone()


def _tensors(state: Any) -> list[Tensor]:
    """The tensors of a block's state, in a fixed order."""
    return [t for t in state.values(True, True) if isinstance(t, Tensor)]


def _shapes(x: Tensor, state: Any) -> Shapes:
    return (x.shape, *(t.shape for t in _tensors(state)))
