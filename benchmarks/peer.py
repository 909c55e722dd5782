"""The peer: titans-pytorch's NeuralMemory, at the sizes of ours (optional extra `peers`).

Its three settings are three algorithms: the default takes every gradient of a call at the starting
memory and shares one decay and one momentum among the tokens of a chunk; `chunk_size=1` with
`batch_size=64` is the paper's (own gates per token, gradients at the start of 64 tokens).

Two things are changed, neither of which changes what it computes: parameters that are views of one
row for all heads are made dense (on a CPU with several heads they cannot be trained otherwise), and
`core=True` replaces the projections by identities, so that the memory alone can be compared with a
scan, which has none.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor, nn

MISSING = "titans-pytorch is not installed: pip install 'test-time-playground[peers]'"


def is_installed() -> bool:
    """Whether the peer can be imported."""
    return find_spec("titans_pytorch") is not None


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
    peer = NeuralMemory(
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
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))

    def forward_backward() -> tuple[Tensor, ...]:
        wanted = [leaf, *parameters]
        return torch.autograd.grad(run(leaf), wanted, towards, allow_unused=True)

    return forward_backward
