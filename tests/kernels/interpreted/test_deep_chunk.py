"""`deep_chunk` against its equations, whose gradients autograd takes twice; all gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.deep_chunk import Chunks, deep_chunk, deep_forward

Start = tuple[Tensor | None, Tensor]


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
    H, L = (H, 2) if deep else (K, 1)
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
        lambda *x: deep_chunk(*x, **form),
        chunks,
        start,
        [w.to(dtype) for w in weights],
    )
    assert len(found) == len(wanted)
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if not other.numel():
            continue
        scale = max(1.0, other.abs().max().item())
        assert torch.isfinite(one).all(), i
        assert (one.double() - other).abs().max().item() <= tolerance * scale, i


FORMS = [(True, True), (False, True), (True, False), (False, False)]


def test_a_deep_memory_with_momentum() -> None:
    compare((3, 2, 5, 3, 7), residual=True, norm=True, deep=True, momentum=True)


def test_a_memory_of_one_matrix_without_momentum() -> None:
    compare((3, 1, 4, 3, 1), residual=False, norm=True, deep=False, momentum=False)


def test_a_network_without_residual_and_norm() -> None:
    compare((2, 1, 2, 3, 5), residual=False, norm=False, deep=True, momentum=False)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 2, 5, 3, 7), (2, 1, 17, 18, 70)], ids=str)
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("deep", [False, True], ids=["linear", "deep"])
@pytest.mark.parametrize(("residual", "norm"), FORMS)
def test_outputs_and_all_gradients(
    shape: tuple[int, ...], residual: bool, norm: bool, deep: bool, momentum: bool
) -> None:
    compare(shape, residual=residual, norm=norm, deep=deep, momentum=momentum)


def test_several_blocks_of_hidden_channels_and_queries() -> None:
    compare((1, 1, 66, 3, 34), residual=True, norm=True, deep=True, momentum=True)


@pytest.mark.parametrize("gates", [0.0, 1.0])
def test_gates_of_exactly_0_and_1(gates: float) -> None:
    compare((2, 1, 3, 4, 5), residual=True, norm=True, deep=True, momentum=True, gates=gates)


@pytest.mark.slow
@pytest.mark.parametrize("deep", [False, True], ids=["linear", "deep"])
def test_single_precision(deep: bool) -> None:
    how: dict[str, Any] = {"dtype": torch.float32, "tolerance": 5e-5}
    compare((3, 2, 5, 6, 9), residual=True, norm=True, deep=deep, momentum=True, **how)


@pytest.mark.parametrize(
    "deep", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["deep", "linear"]
)
def test_factors_of_16_bits_cost_no_more_than_twice_what_they_cost_torch(deep: bool) -> None:
    half, form = torch.float16, {"residual": True, "norm": True}
    shape, how = (2, 1, 4, 6, 9), {"momentum": True, "deep": deep}
    chunks, start = given(shape, **how, dtype=torch.float32)
    outputs = by_equations(chunks, start, **form)
    weights = [torch.ones_like(t) for t in outputs]
    exact = [*(t.detach().double().requires_grad_() for t in (*chunks, *start) if t is not None)]
    *rest, second = exact
    first = rest.pop() if deep else None
    wanted = gradients(
        lambda *x: by_equations(*x, **form),
        Chunks(*rest),
        (first, second),
        [w.double() for w in weights],
    )

    def torch_alone(*x: Any) -> Any:
        with torch.autocast("cpu", dtype=half):
            return by_equations(*x, **form)

    alone = gradients(torch_alone, chunks, start, weights)
    found = gradients(lambda *x: deep_chunk(*x, **form, factors=half), chunks, start, weights)

    def error(tensors: list[Tensor]) -> float:
        parts = zip(tensors, wanted, strict=True)
        each = [(t.double() - right).norm() / right.norm() for t, right in parts if right.numel()]
        return torch.stack(each).norm().item()

    assert error(found) <= 2.0 * error(alone)
    assert error(alone) > 1e-4  # there was something to lose


@pytest.mark.parametrize(
    "deep", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["deep", "linear"]
)
def test_the_operator_is_one_for_torch(deep: bool) -> None:
    chunks, start = given((1, 1, 2, 2, 2), momentum=deep, deep=deep)
    torch.library.opcheck(deep_forward, (*chunks, *start, True, True, True, torch.float64))


def test_states_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, start = given((3, 1, 2, 3, 4), momentum=True, deep=True)
    with torch.no_grad():
        whole = deep_chunk(chunks, start, residual=True, norm=True)
        monkeypatch.setattr(
            "kernels.deep_launch.STATES", 2 * sum(t.numel() for t in start if t is not None)
        )
        parts = deep_chunk(chunks, start, residual=True, norm=True)
    for one, other in zip(parts, whole, strict=True):
        assert torch.equal(one, other)


def test_too_large_is_refused() -> None:
    chunks, start = given((1, 1, 130, 1, 1), momentum=False, deep=False)
    with pytest.raises(ValueError, match="128 tokens"):
        deep_chunk(chunks, start, residual=True, norm=True)


@pytest.mark.parametrize("sequences", [1, 2])
def test_replicas_are_more_sequences(sequences: int) -> None:
    each = [given((2, sequences, 3, 3, 4), momentum=True, deep=True) for _ in range(2)]
    columns = zip(*([*chunks, *start] for chunks, start in each), strict=True)
    every = [
        torch.stack(column) * torch.tensor([1.0, 0.5]).view(2, *[1] * column[0].ndim)
        for column in columns
    ]

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *rest, first, second = tensors
        return deep_chunk(Chunks(*rest), (first, second), residual=True, norm=True)

    found = torch.func.vmap(run)(*every)
    for i in range(2):
        for one, other in zip(found, run(*(t[i] for t in every)), strict=True):
            assert torch.equal(one[i], other)
