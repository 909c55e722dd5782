"""`weighted_scan` against its own equations written chunk by chunk, with all gradients."""

import pytest
import torch
from torch import Tensor

from kernels.weighted_scan import Weighed, _scan, weighted_scan
from tests.kernels.interpreted.scans import check_alone, gradients


def given(
    shape: tuple[int, ...], *, momentum: bool, solved: bool, dtype: torch.dtype = torch.float64
) -> tuple[Weighed, Tensor]:
    N, G, C, K, V = shape
    R = 2 * K if momentum else K
    generator = torch.Generator().manual_seed(sum(shape))

    def draw(*size: int) -> Tensor:
        x = torch.randn(*size, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    chunks = Weighed(
        q=draw(N, G, C, R),
        x=draw(N, G, C, R),
        d=draw(N, G, C, V),
        w=draw(N, G, C, R) if solved else None,
        A=draw(N, G, C, C),
        ends=draw(N, G, 3 if momentum else 1, K),
    )
    return chunks, draw(G, R, V)


def by_equations(chunks: Weighed, start: Tensor) -> tuple[Tensor, Tensor]:
    q, x, fixed, w, A, ends = chunks
    K, state, ys = ends.shape[-1], start, []
    for n in range(q.shape[0]):
        D = fixed[n] if w is None else fixed[n] + w[n] @ state
        ys.append(q[n] @ state - A[n] @ D)
        keep = ends[n].unsqueeze(-1)
        after = keep[:, 0] * state[:, :K]
        if keep.shape[1] > 1:
            after = after + keep[:, 1] * state[:, K:]
            after = torch.cat([after, keep[:, 2] * state[:, K:]], 1)
        state = after - x[n].mT @ D
    return torch.stack(ys), state


@pytest.mark.parametrize("solved", [False, True], ids=["given", "solved"])
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 2, 5, 3, 7), (2, 1, 16, 20, 40)], ids=str)
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
    exact = Weighed(*(None if t is None else t.detach().double().requires_grad_() for t in chunks))
    exact_start = start.detach().double().requires_grad_()
    wanted = gradients(by_equations, exact, exact_start, weights)
    found = gradients(weighted_scan, chunks, start, [w.to(dtype) for w in weights])
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        scale = max(1.0, other.abs().max().item())
        assert torch.isfinite(one).all()
        assert (one.double() - other).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("alone", [0, 1], ids=["outputs", "state"])
def test_gradients_of_one_of_the_two_results(alone: int) -> None:
    chunks, start = given((2, 2, 3, 3, 4), momentum=True, solved=True)
    check_alone(weighted_scan, by_equations, chunks, start, alone)


def test_the_operator_is_one_for_torch() -> None:
    chunks, start = given((2, 2, 3, 3, 4), momentum=True, solved=True)
    torch.library.opcheck(_scan, (*chunks, start, torch.float64))
    chunks, start = given((2, 2, 3, 3, 4), momentum=False, solved=False)
    torch.library.opcheck(_scan, (*chunks, start, torch.float64))


def test_bf16_is_refused_where_it_would_be_wrong() -> None:
    chunks, start = given((1, 1, 2, 2, 2), momentum=False, solved=False, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match="bf16 wrongly"):
        weighted_scan(chunks, start)


@pytest.mark.parametrize("sequences", [1, 2])
@pytest.mark.parametrize("solved", [False, True])
def test_replicas_are_more_sequences(solved: bool, sequences: int) -> None:
    each = [given((2, sequences, 3, 3, 4), momentum=True, solved=solved) for _ in range(3)]
    columns = zip(*([*chunks, start] for chunks, start in each), strict=True)
    every = [torch.stack(column) for column in columns if column[0] is not None]

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        *rest, start = tensors
        full = rest if solved else [*rest[:3], None, *rest[3:]]
        return weighted_scan(Weighed(*full), start)

    y, last = torch.func.vmap(run)(*every)
    for i, (chunks, start) in enumerate(each):
        one = weighted_scan(chunks, start)
        assert torch.equal(y[i], one[0]) and torch.equal(last[i], one[1])
