"""From a function of tensors to the plain graph that torch.compile is given.

Derivatives are taken while tracing. What autograd leaves untidy is put right: a product that is
made only to be transposed is made the other way round, or every later kernel reads it by columns.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten
VIEWS = (aten.view.default, aten._unsafe_view.default)


def trace(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> GraphModule:
    """The graph of `function` at the shapes of `inputs`, as a module that gives the same list."""
    module = make_fx(function, tracing_mode="fake")(*inputs)
    for node in list(module.graph.nodes):
        if _turns(node):
            _turn(module.graph, node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _turns(node: Node) -> bool:
    """Whether a node swaps the last two axes."""
    if node.target is not aten.transpose.int:
        return False
    axes = node.meta["val"].ndim
    return {int(d) % axes for d in node.args[1:]} == {axes - 2, axes - 1}  # pyright: ignore


def _turn(graph: Graph, node: Node) -> None:
    """Replace (a b)^T by b^T a^T, if the product has no other use."""
    product = node.args[0]
    while isinstance(product, Node) and product.target in VIEWS and len(product.users) == 1:
        product = product.args[0]
    if not isinstance(product, Node) or product.target is not aten.bmm.default:
        return
    if len(product.users) > 1:
        return
    with graph.inserting_before(node):
        a, b = (graph.call_function(aten.transpose.int, (t, 1, 2)) for t in product.args)
        turned = graph.call_function(aten.bmm.default, (b, a))
        shaped = graph.call_function(aten.view.default, (turned, list(node.meta["val"].shape)))
    shaped.meta["val"] = node.meta["val"].contiguous()
    node.replace_all_uses_with(shaped)
