"""Compiled bodies: one function per rule, kind of segment and shape; no loop inside.

A body takes flat tensors and writes into buffers it is given, so that a loop over chunks neither
allocates nor copies. On a CPU it becomes a program of our own (`playground.compile.native`), which
does all its calls at once; elsewhere, and where an operator has no counterpart there, torch.compile
makes it. The dispatch on shapes is ours, so the guards of torch.compile, which would be checked
again at every chunk, are dropped.
"""

import logging
import types
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import torch
from torch import Tensor

from playground.compile.lowering.graphs import trace
from playground.compile.native import Unsupported, make_program

Function = Callable[..., Sequence[Tensor]]
Run = Callable[..., None]
Call = tuple[Sequence[Tensor], Sequence[Tensor]]  # inputs, and the buffers of outputs
_fresh = count()
_log = logging.getLogger(__name__)


def _own_code(function: Run) -> Run:
    """The same function with a code object of its own: torch.compile caches by code object."""
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_fresh)}")
    return types.FunctionType(
        code, function.__globals__, function.__name__, None, function.__closure__
    )


def _no_guards(guards: Sequence[object]) -> list[bool]:
    return [False] * len(guards)


def _writing(function: Function, size: int) -> Run:
    """A call `run(*inputs, *outputs)` that does outputs[i].copy_(function(*inputs)[i])."""

    def body(*tensors: Tensor) -> None:
        for buffer, result in zip(tensors[size:], function(*tensors[:size]), strict=True):
            buffer.copy_(result)

    return body


class Body:
    """A pure function of tensors, and its compiled forms by shape.

    Args:
        function: positional tensors -> tensors, without side effects; it treats all sequences and
            heads, the first two axes of every tensor, alike and by themselves.
        compiled: false runs eagerly.
        lower: input -> shift of a matrix that is zero where column > row + shift.
    """

    def __init__(
        self, function: Function, *, compiled: bool, lower: Mapping[int, int] | None = None
    ) -> None:
        self.function, self.compiled, self.lower = function, compiled, lower
        self._made: dict[object, Callable[[Sequence[Call]], None]] = {}

    def run(self, calls: Sequence[Call]) -> None:
        """outputs[i].copy_(function(*inputs)[i]) for calls of one layout, in order."""
        inputs, outputs = calls[0]
        if not self.compiled:
            return _each(_writing(self.function, len(inputs)))(calls)
        layout = tuple((t.shape, t.stride(), t.dtype) for t in (*inputs, *outputs))
        key = (torch.is_inference_mode_enabled(), inputs[0].device, layout)
        if key not in self._made:
            self._made[key] = self._make(inputs, outputs)
        return self._made[key](calls)

    def _make(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> Callable[[Sequence[Call]], None]:
        if inputs[0].device.type == "cpu":
            try:
                program = make_program(self.function, inputs, outputs, self.lower)
            except Unsupported as reason:
                _log.info("torch.compile instead of a program of our own: %s", reason)
            else:
                return lambda calls: program([[*given, *found] for given, found in calls])
        graph = trace(self.function, inputs)
        run = torch.compile(
            _own_code(_writing(graph, len(inputs))),
            fullgraph=True,
            dynamic=False,
            options={"guard_filter_fn": _no_guards},
        )
        return _each(run)


def _each(run: Run) -> Callable[[Sequence[Call]], None]:
    """One call after another."""

    def all_calls(calls: Sequence[Call]) -> None:
        for inputs, outputs in calls:
            run(*inputs, *outputs)

    return all_calls
