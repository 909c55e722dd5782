"""Bodies on a CPU as one C++ program: products and passes over rows, all in a core's own cache.

A body treats every sequence and head alike and by itself. So it is traced for one of them, and the
program runs that for all in parallel, chunk after chunk, without a call or a barrier in between.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from playground.compile.native.emit import emit
from playground.compile.native.graph import lift
from playground.compile.native.program import TYPES, Program
from playground.compile.native.schedule import plan
from playground.compile.native.values import Input, Unsupported, View, contiguous, joined

__all__ = ["Program", "Unsupported", "make_program"]


def make_program(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    lower: Mapping[int, int] | None = None,
) -> Program:
    """Compile a function of tensors [B, H, ...] that treats sequences and heads by themselves.

    Args:
        function: inputs -> what is written to the outputs.
        inputs: whose sizes and strides every call has.
        outputs: the same.
        lower: input -> shift of a matrix that is zero where column > row + shift.

    Raises:
        Unsupported: it has an operator, or a type, without a counterpart.
        LoweringError: there is no C++ compiler, or it refuses the program.
    """
    dtype = inputs[0].dtype
    if dtype not in TYPES or any(t.dtype != dtype for t in (*inputs, *outputs)):
        raise Unsupported("tensors that are not all fp32 or all fp64")
    one = [t[:1, :1].contiguous() for t in inputs]
    table: Any = core_aten_decompositions()
    with torch.no_grad():
        graph = make_fx(function, tracing_mode="fake", decomposition_table=table)(*one)
    graph.graph.eliminate_dead_code()
    found = lift(graph, [_argument(i, t) for i, t in enumerate(inputs)])
    made = plan(found, [_strides(t) for t in outputs], lower or {})
    return Program(emit(made, len(inputs), TYPES[dtype]))


def _argument(index: int, t: Tensor) -> View:
    """One sequence and head of an input, as it lies."""
    sizes, strides = (1, 1, *t.shape[2:]), _strides(t)
    if joined(zip(sizes, strides, strict=True)) == joined(
        zip(sizes, contiguous(sizes), strict=True)
    ):
        return View.of(Input(shape=sizes, index=index))
    extent = 1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    return View(Input(shape=(extent,), index=index), 0, sizes, strides)


def _strides(t: Tensor) -> tuple[int, ...]:
    return (0, 0, *t.stride()[2:])
