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
from typing import Literal

import torch
from torch import Tensor

from playground.compile.lowering.graphs import trace
from playground.compile.native import Program, Unsupported, make_program

Function = Callable[..., Sequence[Tensor]]
Run = Callable[..., None]
Call = tuple[Sequence[Tensor], Sequence[Tensor]]  # inputs, and the buffers of outputs
Form = Literal["eager", "program", "graph"]  # a program, or else eager; a program, or else a graph
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
        lower: input -> shift of a matrix that is zero where column > row + shift.
    """

    def __init__(self, function: Function, *, lower: Mapping[int, int] | None = None) -> None:
        self.function, self.lower = function, lower
        self._programs: dict[object, Program | None] = {}
        self._graphs: dict[object, Run] = {}

    def run(self, calls: Sequence[Call], form: Form = "graph") -> None:
        """outputs[i].copy_(function(*inputs)[i]) for calls of one layout, in order."""
        inputs, outputs = calls[0]
        program = None if form == "eager" else self._program(inputs, outputs)
        if program is not None:
            program([[*given, *found] for given, found in calls])
            return
        graph = self._graph(inputs, outputs) if form == "graph" else None
        run = _writing(self.function, len(inputs)) if graph is None else graph
        for given, found in calls:
            run(*given, *found)

    def _program(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Program | None:
        """One for any number of sequences and heads; None where there cannot be one."""
        if inputs[0].device.type != "cpu":
            return None
        key = tuple((t.shape[2:], t.stride()[2:], t.dtype) for t in (*inputs, *outputs))
        if key not in self._programs:
            try:
                self._programs[key] = make_program(self.function, inputs, outputs, self.lower)
            except Unsupported as reason:
                _log.info("no program of our own: %s", reason)
                self._programs[key] = None
        return self._programs[key]

    def _graph(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Run:
        layout = tuple((t.shape, t.stride(), t.dtype) for t in (*inputs, *outputs))
        kind = inputs[0].device.type
        lowered = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        key = (torch.is_inference_mode_enabled(), lowered, inputs[0].device, layout)
        if key not in self._graphs:
            graph = trace(self.function, inputs)
            self._graphs[key] = torch.compile(
                _own_code(_writing(graph, len(inputs))),
                fullgraph=True,
                dynamic=False,
                options={"guard_filter_fn": _no_guards},
            )
        return self._graphs[key]
