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

Function = Callable[..., tuple[Tensor, ...]]
_fresh = count()


def _own_code(function: Callable[..., None], name: str) -> Callable[..., None]:
    """The same function with a code object of its own: torch.compile caches by code object."""
    code = function.__code__.replace(co_name=f"{name}_{next(_fresh)}")
    made = types.FunctionType(code, function.__globals__, name, None, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _no_guards(guards: Sequence[object]) -> list[bool]:
    return [False] * len(guards)


class Body:
    """A pure function of tensors, its pullback, and their compiled forms by shape.

    Args:
        function: positional tensors -> tuple of tensors, without side effects.
        compiled: wrap in torch.compile(fullgraph=True); False runs eagerly.
    """

    def __init__(self, function: Function, *, compiled: bool) -> None:
        self.function, self.compiled = function, compiled
        self._made: dict[object, Callable[..., None]] = {}

    def forward(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Callable[..., None]:
        """A call `run(*inputs, *outputs)` that does outputs[i].copy_(function(*inputs)[i]).

        It serves every call whose tensors have the same layouts: ask once before a loop.
        """
        return self._runner("forward", inputs, outputs, ())

    def pullback(
        self, inputs: Sequence[Tensor], cotangents: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> Callable[..., None]:
        """A call `run(*inputs, *cotangents, *outputs)`: outputs <- gradients to floating inputs."""
        return self._runner("pullback", inputs, outputs, cotangents)

    def _runner(
        self,
        direction: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
    ) -> Callable[..., None]:
        if not self.compiled:
            return self._make(direction, inputs, len(cotangents))
        layout = tuple((t.shape, t.stride(), t.dtype) for t in (*inputs, *cotangents, *outputs))
        mode = torch.is_inference_mode_enabled()
        key = (direction, mode, inputs[0].device, layout)
        if key not in self._made:
            plain = _own_code(self._make(direction, inputs, len(cotangents)), direction)
            self._made[key] = torch.compile(
                plain, fullgraph=True, dynamic=False, options={"guard_filter_fn": _no_guards}
            )
        return self._made[key]

    def _make(
        self, direction: str, inputs: Sequence[Tensor], cotangents: int
    ) -> Callable[..., None]:
        function, size = self.function, len(inputs)
        moving = [i for i, t in enumerate(inputs) if t.dtype.is_floating_point]

        def forward(*tensors: Tensor) -> None:
            for buffer, result in zip(tensors[size:], function(*tensors[:size]), strict=True):
                buffer.copy_(result)

        def pullback(*tensors: Tensor) -> None:
            def of_moving(*primals: Tensor):
                filled = list(tensors[:size])
                for i, t in zip(moving, primals, strict=True):
                    filled[i] = t
                return function(*filled)

            pull = torch.func.vjp(of_moving, *[tensors[i] for i in moving])[1]
            grads = pull(tuple(tensors[size : size + cotangents]))
            for buffer, grad in zip(tensors[size + cotangents :], grads, strict=True):
                buffer.copy_(grad)

        return forward if direction == "forward" else pullback
