"""Softmax attention over the same queries, keys and values: what memories are instead of."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from blocks.attend import Attend, make_attend, refuses
from blocks.masks import causal
from blocks.spec import AttentionSpec
from playground.bench.cell import Cell, Prepared
from playground.bench.inputs import DTYPES, make_problem
from playground.bench.peers.base import refused_cell
from playground.bench.rules import RuleWork
from playground.bench.work import STEPS

OTHER = "softmax attention: no fast weights, and work that grows with the square of the length"


def sdpa_cells(work: RuleWork) -> Sequence[Cell]:
    """torch's scaled dot product attention."""
    return _cells("sdpa", work)


def flex_cells(work: RuleWork) -> Sequence[Cell]:
    """FlexAttention, compiled."""
    return _cells("flex", work)


def xformers_cells(work: RuleWork) -> Sequence[Cell]:
    """xformers' memory-efficient attention."""
    return _cells("xformers", work)


def _cells(backend: str, work: RuleWork) -> Sequence[Cell]:
    path = f"peer: {backend} attention"
    spec = AttentionSpec(heads=work.shape.heads)
    reason = refuses(backend, spec, torch.device(work.device))  # pyright: ignore
    if reason:
        return (refused_cell(path, reason),)

    def prepare() -> Prepared:
        attend = make_attend(backend)  # pyright: ignore
        run = _run(attend, work)
        ran = {"attention": f"{backend} attention"}
        return Prepared(run=run, check=None, ran=lambda: ran, compiled=backend == "flex")

    return (Cell(path=path, prepare=prepare, other=OTHER),)


def _run(attend: Attend, work: RuleWork) -> Callable[[], object]:
    problem = make_problem(work.rule, work.shape, device=work.device)
    q, k, v = (getattr(problem.inputs, n).to(DTYPES[work.shape.dtype]) for n in "qkv")
    length = work.shape.length
    if work.mode == "decode":
        last, sight = q[:, -1:].contiguous(), causal(length, past=length - 1)
        return _without_gradients(lambda: [attend(last, k, v, sight, 0.0) for _ in range(STEPS)])
    sight = causal(length)
    if work.mode == "forward":
        return _without_gradients(lambda: attend(q, k, v, sight, 0.0))
    leaves = tuple(t.detach().clone().requires_grad_() for t in (q, k, v))
    towards = torch.randn(v.shape, generator=torch.Generator().manual_seed(3)).to(v)

    def run() -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            attend(leaves[0], leaves[1], leaves[2], sight, 0.0), leaves, towards
        )

    return run


def _without_gradients(function: Callable[[], object]) -> Callable[[], object]:
    return torch.no_grad()(function)
