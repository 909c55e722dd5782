"""`chunk_scan` against its own equations written token by token, with all gradients."""

import pytest
import torch
from torch import Tensor

from kernels.chunk_scan import Chunks, _scan, chunk_scan
from tests.kernels.interpreted.scans import check_alone, gradients

SHAPES = [  # N, G, C, K, V
    (1, 1, 1, 1, 1),
    (3, 2, 5, 3, 7),
    (2, 3, 16, 16, 16),
    (2, 1, 17, 70, 33),  # tokens, keys and values each in several parts
]


def given(
    shape: tuple[int, ...], *, momentum: bool, solved: bool, dtype: torch.dtype = torch.float64
) -> tuple[Chunks, Tensor]:
    N, G, C, K, V = shape
    R = 2 * K if momentum else K
    generator = torch.Generator().manual_seed(sum(shape))

    def draw(*size: int) -> Tensor:
        x = torch.randn(*size, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    chunks = Chunks(
        q=draw(N, G, C, K),
        x=draw(N, G, C, K),
        d=draw(N, G, C, V),
        w=draw(N, G, C, R) if solved else None,
        b=draw(N, G, C),
        c=draw(N, G, C) if momentum else None,
        A=draw(N, G, C, C),
        last=draw(N, G, C),
        e=draw(N, G, C) if momentum else None,
        ends=draw(N, G, 3),
    )
    return chunks, draw(G, R, V)


def by_equations(chunks: Chunks, start: Tensor) -> tuple[Tensor, Tensor]:
    q, x, fixed, w, b, c, A, last, e, ends = chunks
    K, state, ys = q.shape[-1], start, []
    for n in range(q.shape[0]):
        memory, momentum = state[:, :K], state[:, K:]
        D = fixed[n] if w is None else fixed[n] + w[n] @ state
        y = b[n][..., None] * (q[n] @ memory) - (A[n] * (q[n] @ x[n].mT)) @ D
        after = ends[n, :, 0, None, None] * memory - (last[n][..., None] * x[n]).mT @ D
        if c is not None and e is not None:
            y = y + c[n][..., None] * (q[n] @ momentum)
            after = after + ends[n, :, 1, None, None] * momentum
            momentum = ends[n, :, 2, None, None] * momentum - (e[n][..., None] * x[n]).mT @ D
            after = torch.cat([after, momentum], 1)
        ys.append(y)
        state = after
    return torch.stack(ys), state


@pytest.mark.parametrize("solved", [False, True], ids=["given", "solved"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["fp64", "fp32"]
)
def test_outputs_and_all_gradients(
    shape: tuple[int, ...], momentum: bool, solved: bool, dtype: torch.dtype, tolerance: float
) -> None:
    chunks, start = given(shape, momentum=momentum, solved=solved, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    N, G, C, _, V = shape
    sizes = [(N, G, C, V), tuple(start.shape)]
    weights = [torch.randn(*size, generator=generator, dtype=torch.float64) for size in sizes]
    exact = Chunks(*(None if t is None else t.detach().double().requires_grad_() for t in chunks))
    exact_start = start.detach().double().requires_grad_()
    wanted = gradients(by_equations, exact, exact_start, weights)
    found = gradients(chunk_scan, chunks, start, [w.to(dtype) for w in weights])
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        scale = max(1.0, other.abs().max().item())
        assert torch.isfinite(one).all()
        assert (one.double() - other).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("alone", [0, 1], ids=["outputs", "state"])
def test_gradients_of_one_of_the_two_results(alone: int) -> None:
    chunks, start = given((2, 2, 5, 3, 4), momentum=True, solved=True)
    check_alone(chunk_scan, by_equations, chunks, start, alone)


def test_the_operator_is_one_for_torch() -> None:
    chunks, start = given((2, 2, 5, 3, 4), momentum=True, solved=True)
    torch.library.opcheck(_scan, (*chunks, start, torch.float64))
    chunks, start = given((2, 2, 5, 3, 4), momentum=False, solved=False)
    torch.library.opcheck(_scan, (*chunks, start, torch.float64))


def test_other_layouts_are_read_as_what_they_are() -> None:
    chunks, start = given((2, 2, 5, 3, 4), momentum=True, solved=True)
    turned = Chunks(*(None if t is None else t.mT.contiguous().mT for t in chunks))
    for one, other in zip(chunk_scan(chunks, start), chunk_scan(turned, start), strict=True):
        assert torch.equal(one, other)


def test_bf16_is_refused_where_it_would_be_wrong() -> None:
    chunks, start = given((1, 1, 2, 2, 2), momentum=False, solved=False, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match="bf16 wrongly"):
        chunk_scan(chunks, start)


def test_mixed_types_are_refused() -> None:
    chunks, start = given((1, 1, 2, 2, 2), momentum=False, solved=False)
    with pytest.raises(TypeError, match="one dtype"):
        chunk_scan(chunks, start.float())


def test_a_head_that_would_spill_is_refused() -> None:
    chunks, start = given((1, 1, 2, 129, 2), momentum=False, solved=False)
    with pytest.raises(ValueError, match="wider than 128, this one has 129"):
        chunk_scan(chunks, start)


@pytest.mark.parametrize("sequences", [1, 2])
@pytest.mark.parametrize("momentum", [False, True])
def test_replicas_are_more_sequences(momentum: bool, sequences: int) -> None:
    each = [given((2, sequences, 5, 3, 4), momentum=momentum, solved=True) for _ in range(3)]
    columns = zip(*([*chunks, start] for chunks, start in each), strict=True)
    every = [torch.stack(column) for column in columns if column[0] is not None]

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        *rest, start = tensors
        full = rest if momentum else [*rest[:5], None, *rest[5:7], None, rest[7]]
        return chunk_scan(Chunks(*full), start)

    y, last = torch.func.vmap(run)(*every)
    for i, (chunks, start) in enumerate(each):
        one = chunk_scan(chunks, start)
        assert torch.equal(y[i], one[0]) and torch.equal(last[i], one[1])
