"""`deep_chunk` against its equations, whose gradients autograd takes twice; all gradients."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.deep_chunk import Chunks, deep_chunk

Start = tuple[Tensor | None, Tensor]


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that nobody wrote is NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def given(
    shape: tuple[int, ...],
    *,
    momentum: bool,
    deep: bool,
    dtype: torch.dtype = torch.float64,
    gates: float | None = None,
) -> tuple[Chunks, Start]:
    """Random tables, or those whose every number is a gate of 0 or 1."""
    N, G, C, K, H = shape
    H, L, parts = (H, 2, 2) if deep else (K, 1, 2)
    parts = 2 if momentum else 1
    generator = torch.Generator().manual_seed(sum(shape))

    def draw(*size: int, scale: float = 1.0) -> Tensor:
        x = scale * torch.randn(*size, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    def table(*size: int) -> Tensor:
        if gates is None:
            return draw(L, N, G, *size, scale=0.5)
        return torch.full((L, N, G, *size), gates, dtype=dtype, requires_grad=True)

    chunks = Chunks(
        q=draw(N, G, C, K),
        k=draw(N, G, C, K),
        v=draw(N, G, C, K),
        b=table(C),
        c=table(C) if momentum else None,
        A=table(C, C),
        last=table(C),
        e=table(C) if momentum else None,
        ends=table(3),
    )
    first = draw(G, parts * K, H, scale=K**-0.5) if deep else None
    return chunks, (first, draw(G, parts * H, K, scale=H**-0.5))


def by_equations(
    chunks: Chunks, start: Start, *, residual: bool, norm: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The network is written once; error signals are the gradients of its squared error."""
    states = [t for t in start if t is not None]
    momentum, ys = chunks.c is not None, []

    def out(x: Tensor, z: Tensor) -> Tensor:
        z = F.layer_norm(z, z.shape[-1:]) if norm else z
        return x + z if residual else z

    for n in range(chunks.q.shape[0]):
        q, k, v = (t[n] for t in chunks[:3])
        halves = [s.chunk(2, 1) if momentum else (s, torch.zeros_like(s)) for s in states]
        x, seen, probes = k, [], []
        for i, (memory, _) in enumerate(halves):
            x = F.gelu(x) if i else x
            seen.append(x)
            probes.append(torch.zeros_like(x @ memory).requires_grad_())
            x = x @ memory + probes[-1]
        loss = (out(k, x) - v).square().sum()
        D = torch.autograd.grad(loss, probes, create_graph=True)
        y, after = q, []
        for i, (memory, slow) in enumerate(halves):
            b, A, last, ends = (t[i, n] for t in (chunks.b, chunks.A, chunks.last, chunks.ends))
            y = F.gelu(y) if i else y
            said = b[..., None] * (y @ memory) - (A * (y @ seen[i].mT)) @ D[i]
            memory_after = ends[:, 0, None, None] * memory - (last[..., None] * seen[i]).mT @ D[i]
            if chunks.c is not None and chunks.e is not None:
                said = said + chunks.c[i, n][..., None] * (y @ slow)
                memory_after = memory_after + ends[:, 1, None, None] * slow
                written = (chunks.e[i, n][..., None] * seen[i]).mT @ D[i]
                slow_after = ends[:, 2, None, None] * slow - written
                memory_after = torch.cat([memory_after, slow_after], 1)
            y = said
            after.append(memory_after)
        ys.append(out(q, y))
        states = after
    first = states[0] if len(states) == 2 else chunks.q.new_empty(0)
    return torch.stack(ys), first, states[-1]


def gradients(run: Any, chunks: Chunks, start: Start, weights: list[Tensor]) -> list[Tensor]:
    inputs = [t for t in (*chunks, *start) if t is not None]
    outputs = run(chunks, start)
    loss = sum((t * w).sum() for t, w in zip(outputs, weights, strict=True))
    found = torch.autograd.grad(loss, inputs, materialize_grads=True)  # pyright: ignore
    return [*outputs, *found]


def compare(
    shape: tuple[int, ...],
    *,
    residual: bool,
    norm: bool,
    dtype: torch.dtype = torch.float64,
    tolerance: float = 1e-12,
    **how: Any,
) -> None:
    chunks, start = given(shape, dtype=dtype, **how)

    def copy(t: Tensor | None) -> Tensor | None:
        return None if t is None else t.detach().double().requires_grad_()

    exact = Chunks(*(copy(t) for t in chunks))  # pyright: ignore
    exact_start = (copy(start[0]), copy(start[1]))
    form = {"residual": residual, "norm": norm}
    outputs = by_equations(exact, exact_start, **form)  # pyright: ignore
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in outputs]
    wanted = gradients(lambda *x: by_equations(*x, **form), exact, exact_start, weights)  # pyright: ignore
    found = gradients(
        lambda *x: deep_chunk(*x, **form), chunks, start, [w.to(dtype) for w in weights]
    )
    assert len(found) == len(wanted)
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if not other.numel():
            continue
        scale = max(1.0, other.abs().max().item())
        assert torch.isfinite(one).all(), i
        assert (one.double() - other).abs().max().item() <= tolerance * scale, i


DEEP = [  # N, G, C, K, H
    (1, 1, 1, 1, 1),
    (3, 2, 5, 3, 7),
    (2, 1, 17, 18, 70),
]


@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("deep", [False, True], ids=["linear", "deep"])
@pytest.mark.parametrize(
    ("residual", "norm"), [(True, True), (False, True), (True, False), (False, False)]
)
@pytest.mark.parametrize("shape", DEEP, ids=str)
def test_outputs_and_all_gradients(
    shape: tuple[int, ...], residual: bool, norm: bool, deep: bool, momentum: bool
) -> None:
    compare(shape, residual=residual, norm=norm, deep=deep, momentum=momentum)
