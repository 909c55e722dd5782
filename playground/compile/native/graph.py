"""From the graph of a body, traced for one sequence and head, to its values."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from playground.compile.native.lift import OPS, Lift
from playground.compile.native.values import Unsupported, View

aten = torch.ops.aten


def lift(graph: GraphModule, arguments: Sequence[View]) -> list[View]:
    """What a body returns, as views of values.

    Args:
        graph: its operators are those of `OPS`.
        arguments: views of `Input`s.

    Raises:
        Unsupported: an operator, or a use of one, that has no counterpart.
    """
    env: dict[Node, Any] = {}
    given, lifter = iter(arguments), Lift()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            env[node] = next(given)
        elif node.op == "call_function":
            method = OPS.get(node.target) or OPS.get(_qualified(node.target))
            if method is None:
                raise Unsupported(f"operator {node.target}")
            args = torch.fx.map_arg(node.args, lambda n: env[n])
            if node.target is aten.bmm.default and _only_turned(node):
                a, b = (x.permute([0, 2, 1]) for x in args)
                env[node] = lifter.bmm(b, a).permute([0, 2, 1])
                continue
            env[node] = method(lifter, *args, **node.kwargs)
            schema = getattr(node.target, "_schema", None)
            if schema is not None and schema.is_mutable:  # in place: the same under both names
                env[node.args[0]] = env[node]
        elif node.op == "output":
            return [env[n] for n in node.args[0]]
        else:
            raise Unsupported(f"node {node.op}")
    raise Unsupported("a graph without output")


def _qualified(target: object) -> str:
    """The name of an operator of our own, which may not be there yet when this is imported."""
    schema = getattr(target, "_schema", None)
    return "" if schema is None else schema.name


def _only_turned(node: Node) -> bool:
    """Whether a matrix is only asked for with its axes swapped: then it is made so."""
    for user in node.users:
        if user.target in (aten.view.default, aten._unsafe_view.default):
            if node.meta["val"].shape[-2:] != user.meta["val"].shape[-2:]:
                return False
            if not _only_turned(user):
                return False
        elif user.target is not aten.permute.default or not _swaps(user.args[1]):
            return False
    return bool(node.users)


def _swaps(axes: Any) -> bool:
    rank = len(axes)
    turned = [*range(rank - 2), rank - 1, rank - 2]
    return [a % rank for a in axes] == turned
