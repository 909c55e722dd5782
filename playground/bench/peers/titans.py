"""titans-pytorch's NeuralMemory, at the sizes of ours; its settings are other mathematics.

Its default takes every gradient of a call at the starting memory and shares one decay and one
momentum among the tokens of a chunk; `chunk_size=1` with `batch_size=64` is the paper's (own gates
per token, gradients at the start of 64 tokens), and takes seconds for a thousand tokens.

Two things are changed, neither of which changes what it computes: parameters that are views of one
row for all heads are made dense (on a CPU with several heads they cannot be trained otherwise), and
`core=True` replaces the projections by identities, so that the memory alone can be compared with a
scan, which has none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from playground.bench.cell import Cell, Prepared
from playground.bench.peers.base import missing, refused_cell
from playground.bench.rules import RuleWork

PACKAGE = "titans_pytorch"
OTHER = (
    "gradients at the starting memory of the call, decay and momentum shared by a chunk's tokens; "
    "without projections"
)


def make_peer(
    *, heads: int, width: int, chunk_size: int, batch_size: int | None, core: bool = False
) -> nn.Module:
    """A NeuralMemory with a two-layer MLP memory of expansion 2 per head.

    Args:
        heads: heads.
        width: of a head; the model width is heads * width.
        chunk_size: tokens pooled into one step.
        batch_size: tokens that share where gradients are taken; None for the whole call.
        core: without projections of queries, keys, values and outputs.
    """
    from titans_pytorch import MemoryMLP, NeuralMemory

    torch.manual_seed(0)
    peer: Any = NeuralMemory(
        dim=heads * width,
        heads=heads,
        dim_head=width,
        chunk_size=chunk_size,
        batch_size=batch_size,
        model=MemoryMLP(width, depth=2, expansion_factor=2.0),
    )
    dense = [nn.Parameter(p.detach().clone()) for p in peer.memory_model_parameters]
    peer.memory_model_parameters = nn.ParameterList(dense)
    if core:
        for name in ("to_queries", "to_keys", "to_values", "combine_heads"):
            setattr(peer, name, nn.Identity())
    return peer


def learned(module: nn.Module) -> list[Tensor]:
    """Parameters that a gradient reaches: the peer's template of its memory never gets one."""
    return [p for n, p in module.named_parameters() if not n.startswith("memory_model.")]


def layer_forward(run: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    """A layer [B, T, M] -> [B, T, M] without gradients."""

    def forward() -> Tensor:
        with torch.no_grad():
            return run(x)

    return forward


def layer_forward_backward(
    run: Callable[[Tensor], Tensor], x: Tensor, parameters: Sequence[Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """A layer and the gradients of its output to its input and parameters."""
    leaf = x.detach().clone().requires_grad_()
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x)

    def forward_backward() -> tuple[Tensor, ...]:
        wanted = [leaf, *parameters]
        return torch.autograd.grad(
            run(leaf), wanted, towards, allow_unused=True, materialize_grads=True
        )

    return forward_backward


def cells(work: RuleWork) -> Sequence[Cell]:
    """Its default without projections beside a two-layer Titans memory, eager and compiled."""
    rule: Any = work.rule
    same = rule.kind == "titans" and (rule.network, rule.depth) == ("mlp", 2)
    if not same or work.mode == "decode":
        return ()
    paths = {"peer: titans-pytorch eager": False, "peer: titans-pytorch compiled": True}
    if reason := _refuses(work, rule):
        return tuple(refused_cell(path, reason) for path in paths)
    return tuple(
        Cell(path=path, prepare=_binder(work, rule.chunk_size, compiled), other=OTHER)
        for path, compiled in paths.items()
    )


def _refuses(work: RuleWork, rule: Any) -> str:
    if rule.expand != 2.0:
        return f"it is compared at expand = 2, not {rule.expand:g}"
    wrong = work.shape.dtype != "fp32"
    return missing(PACKAGE) or (f"it is compared in fp32, not {work.shape.dtype}" if wrong else "")


def _binder(work: RuleWork, chunk_size: int, compiled: bool) -> Callable[[], Prepared]:
    def prepare() -> Prepared:
        """The module at these sizes, and one way to call it."""
        shape = work.shape
        module = make_peer(
            heads=shape.heads, width=shape.width, chunk_size=chunk_size, batch_size=None, core=True
        ).to(work.device)
        body = torch.compile(module) if compiled else module

        def call(x: Tensor) -> Tensor:
            return body(x)[0]

        generator = torch.Generator().manual_seed(0)
        x = torch.randn(shape.batch, shape.length, shape.heads * shape.width, generator=generator)
        x = x.to(work.device)
        if work.mode == "forward":
            run: Callable[[], object] = layer_forward(call, x)
        else:
            run = layer_forward_backward(call, x, learned(module))
        ran = {"layer": f"titans-pytorch {'compiled' if compiled else 'eager'}"}
        return Prepared(run=run, check=None, ran=lambda: ran, compiled=compiled)

    return prepare
