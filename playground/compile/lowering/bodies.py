"""Compiled bodies: one function per rule, kind of segment and shape; no loop inside.

A body takes flat tensors and writes into buffers it is given, so that a loop over chunks neither
allocates nor copies. The dispatch on shapes is ours, so the guards of torch.compile, which would
be checked again at every chunk, are dropped.
"""

import types
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from playground.compile.lowering.graphs import trace

Function = Callable[..., Sequence[Tensor]]
Run = Callable[..., None]
_fresh = count()


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
        function: positional tensors -> tensors, without side effects.
        compiled: wrap in torch.compile(fullgraph=True); False runs eagerly.
    """

    def __init__(self, function: Function, *, compiled: bool) -> None:
        self.function, self.compiled = function, compiled
        self._made: dict[object, Run] = {}

    def runner(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Run:
        """A call `run(*inputs, *outputs)` that does outputs[i].copy_(function(*inputs)[i]).

        It serves every call whose tensors have the same layouts: ask once before a loop.
        """
        if not self.compiled:
            return _writing(self.function, len(inputs))
        layout = tuple((t.shape, t.stride(), t.dtype) for t in (*inputs, *outputs))
        key = (torch.is_inference_mode_enabled(), inputs[0].device, layout)
        if key not in self._made:
            graph = trace(self.function, inputs)
            self._made[key] = torch.compile(
                _own_code(_writing(graph, len(inputs))),
                fullgraph=True,
                dynamic=False,
                options={"guard_filter_fn": _no_guards},
            )
        return self._made[key]
