"""Our products against torch's, and where they take its place."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._inductor.utils import run_and_get_code
from torch.fx.experimental.proxy_tensor import make_fx

from blocks.spec import Lmm, MemorySpec
from memory_rules import RULES
from playground.compile import build, products, stack
from playground.compile.products import WideProducts
from playground.compile.stacked import Stacked
from playground.spec import ModelSpec

pytestmark = pytest.mark.compile
OURS = torch.ops.playground.products.default


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any processor, and for the small products of a test."""
    monkeypatch.setattr(products, "pays", lambda: True)
    monkeypatch.setattr(products, "LEAST", 1 << 12)
    monkeypatch.setattr(products, "LEAST_THIN", 1 << 12)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def layouts(rows: int, columns: int, seed: int) -> list[Tensor]:
    """The same sizes three times: dense, turned over, every second column of a wider one."""
    return [
        draw(3, rows, columns, seed=seed),
        draw(3, columns, rows, seed=seed).mT,
        draw(3, rows, 2 * columns, seed=seed)[..., ::2],
    ]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (12, 16, 32),
        (13, 17, 33),
        (25, 500, 7),
        (3, 193, 70),
        (60, 385, 16),
        (1600, 5, 70),
    ],
)
def test_products_are_torchs(sizes: tuple[int, int, int], threads: int) -> None:
    rows, depth, columns = sizes
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for a in layouts(rows, depth, 1):
            for b in layouts(depth, columns, 2):
                torch.testing.assert_close(OURS(a, b), a @ b, rtol=1e-12, atol=1e-12)
                torch.testing.assert_close(OURS(a[1], b[1]), a[1] @ b[1], rtol=1e-12, atol=1e-12)
        one = draw(rows, depth).expand(3, -1, -1)
        torch.testing.assert_close(OURS(one, b), one @ b, rtol=1e-12, atol=1e-12)
    finally:
        torch.set_num_threads(before)


def test_single_precision_rounds_no_more_than_torch() -> None:
    a, b = draw(64, 4096, seed=1), draw(4096, 64, seed=2)
    ours, theirs = (f(a.float(), b.float()).double() - a @ b for f in (OURS, torch.mm))
    assert ours.square().mean() < 2 * theirs.square().mean()


def test_what_is_no_number_stays_none_and_nothing_is_zero() -> None:
    a, b = draw(14, 200), draw(200, 40)
    a[3, 199], b[7, 5] = math.nan, math.inf
    torch.testing.assert_close(OURS(a, b), a @ b, equal_nan=True)
    for empty in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        a, b = draw(*empty[:2]), draw(*empty[1:])
        assert torch.equal(OURS(a, b), a @ b)


def test_the_operator_is_well_formed() -> None:
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(OURS, (draw(2, 13, 5), draw(2, 5, 7)), test_utils=tests)
    torch.library.opcheck(OURS, (draw(13, 5), draw(7, 5).mT), test_utils=tests)


def replaced(a: Tensor, b: Tensor, *, symbolic: bool = False) -> bool:
    """Whether the pass takes their product out of a graph, which gives the same afterwards."""
    graph = make_fx(torch.matmul, tracing_mode="symbolic" if symbolic else "fake")(a, b)
    wanted = graph(a, b)
    WideProducts()(graph.graph)
    graph.recompile()
    torch.testing.assert_close(graph(a, b), wanted)
    return any(node.target is OURS for node in graph.graph.nodes)


@pytest.mark.usefixtures("everywhere")
def test_thin_products_are_replaced_from_fewer_multiplications_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "LEAST_THIN", 1 << 10)
    assert replaced(draw(16, 8), draw(8, 16))
    assert not replaced(draw(20, 17), draw(17, 11))
    assert not replaced(draw(17, 4), draw(4, 12))  # fewer still
    monkeypatch.setattr(products, "LEAST_THIN", 1 << 12)
    assert not replaced(draw(16, 8), draw(8, 16))


@pytest.mark.usefixtures("everywhere")
def test_only_large_products_of_fixed_sizes_are_replaced() -> None:
    assert replaced(draw(16, 16), draw(16, 16))
    assert replaced(draw(2, 16, 16), draw(2, 16, 12))
    assert replaced(draw(16, 16, dtype=torch.float32), draw(16, 16, dtype=torch.float32))
    assert not replaced(draw(16, 16), draw(16, 15))
    assert not replaced(draw(11, 64), draw(64, 64))  # too few rows
    assert not replaced(draw(64, 64), draw(64, 11))  # too few columns
    assert not replaced(draw(16, 16), draw(16, 16), symbolic=True)
    half = draw(16, 16, dtype=torch.bfloat16)
    assert not replaced(half, half)


@pytest.mark.usefixtures("everywhere")
def test_compiled_graphs_have_them_forward_and_backward() -> None:
    def product(a: Tensor, b: Tensor) -> Tensor:
        """With something around it to fuse."""
        return (a.sin() @ b).cos()

    def gradients(form: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        """Of the sum, to both."""
        return torch.autograd.grad(form(*inputs).sum(), inputs)

    inputs = draw(2, 16, 20).requires_grad_(), draw(2, 20, 18).requires_grad_()
    compiled = torch.compile(product, fullgraph=True, options=products.options())
    found, sources = run_and_get_code(lambda: gradients(compiled))
    assert sum(source.count("playground.products.default(") for source in sources) == 3
    for ours, eager in zip(found, gradients(product), strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("everywhere")
def test_bodies_with_them_share_their_graphs() -> None:
    counted = torch._dynamo.utils.counters["stats"]
    torch.compiler.reset()
    counted.clear()

    def product(a: Tensor) -> Tensor:
        return a @ a

    for _ in range(3):
        torch.compile(product, fullgraph=True, options=products.options())(draw(16, 16))
    assert counted["unique_graphs"] == 1


@pytest.mark.slow  # half a minute of compiling
@pytest.mark.usefixtures("everywhere")
def test_a_compiled_stack_computes_with_them_what_it_did() -> None:
    block = Lmm(memory=MemorySpec(rule=RULES["titans"](chunk_size=4, network="linear"), heads=2))
    spec = ModelSpec(vocab=11, dim=24, depth=1, block=block)
    models = [build(spec, seed=seed).double() for seed in (0, 1)]
    tokens = torch.arange(2 * 26).view(2, 1, 26) % 11
    weights, (eager, compiled) = stack(spec, models)

    def gradients(form: Stacked) -> list[Tensor]:
        """The logits of a form, and the gradients of their squares."""
        logits = form(tokens)
        return [logits, *torch.autograd.grad(logits.square().sum(), list(weights.all.values()))]

    found, sources = run_and_get_code(lambda: gradients(compiled))
    assert any("playground.products.default(" in source for source in sources)
    for ours, wanted in zip(found, gradients(eager), strict=True):
        torch.testing.assert_close(
            ours, wanted, rtol=1e-9, atol=1e-9 * float(wanted.detach().abs().max())
        )


def test_the_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(said: str) -> bool:
        """What a processor that says so gets."""
        monkeypatch.setattr(products, "processor", lambda: said)
        return products.pays.__wrapped__()

    assert asked("vendor_id : AuthenticAMD\nflags : avx512f avx512_vp2intersect")
    assert not asked("vendor_id : AuthenticAMD\nflags : avx512f")  # 512 bits in two halves
    assert not asked("vendor_id : GenuineIntel\nflags : avx512f avx512_vp2intersect")
    monkeypatch.setattr(products, "pays", lambda: False)
    assert products.options() is None
