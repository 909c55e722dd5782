"""Programs against what they were traced from."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memory_rules import RULES, AbstractMemoryRule
from playground.bench import Shape, forward_backward, make_problem
from playground.compile import classify
from playground.compile.lowering import bodies
from playground.compile.lowering.bodies import Body
from playground.compile.lowering.chunked import CHUNKED
from playground.compile.native import Unsupported, make_program, program
from playground.errors import LoweringError

pytestmark = pytest.mark.compile
Function = Callable[..., Sequence[Tensor]]


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def both(
    function: Function, *inputs: Tensor, lower: dict[int, int] | None = None
) -> list[tuple[Tensor, Tensor]]:
    """What a program writes, and what the function gives, output by output."""
    wanted = function(*inputs)
    found = [torch.full_like(t, math.nan).contiguous() for t in wanted]
    made = make_program(function, inputs, found, lower)
    made([[*inputs, *found]])
    return list(zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_products_of_any_size_and_layout(dtype: torch.dtype) -> None:
    sizes = [
        (1, 1, 1),
        (3, 5, 2),
        (17, 33, 9),
        (64, 64, 64),
        (7, 70, 40),
        (13, 16, 129),
        (70, 32, 20),
    ]
    inputs = []
    for m, n, k in sizes:
        inputs += [draw(2, 3, m, k, dtype=dtype), draw(2, 3, k, n, dtype=dtype)]
        inputs += [draw(2, 3, k, m, dtype=dtype).mT, draw(2, 3, n, k, dtype=dtype).mT]

    def products(*t: Tensor) -> list[Tensor]:
        found = []
        for i in range(0, len(t), 4):
            found += [t[i] @ t[i + 1], t[i + 2] @ t[i + 1], t[i] @ t[i + 3], t[i + 2] @ t[i + 3]]
        return [*found, (t[0].mT @ t[2] + t[1]).mT, t[3] - t[0] @ t[1] + t[2] @ t[3]]

    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for found, wanted in both(products, *inputs):
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_what_is_known_to_be_zero_changes_nothing(shift: int) -> None:
    size = 37
    table = draw(1, 2, size, size + 2).tril(shift)
    x, y = draw(1, 2, size, 21), draw(1, 2, size, 5)

    def function(a: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
        scores = a[..., 2:] * (x @ x.mT)
        return [scores @ y, scores.mT @ y, a.mT @ x, (a[..., 1:-1] * (y @ y.mT)).mT @ scores @ x]

    for found, wanted in both(function, table, x, y, lower={0: shift}):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [3, 8, 67])
def test_the_largest_of_what_has_no_number_is_none(width: int) -> None:
    """Wherever it stands: lanes that are compared side by side must not lose it."""
    x = draw(1, width, width, dtype=torch.float32)
    x[0].diagonal().fill_(math.nan)
    x[0, :, 0] = torch.where(x[0, :, 0].isnan(), x[0, :, 0], math.inf)
    x[0, -1] = 1.0
    ((found, wanted),) = both(lambda x: [x.amax(-1)], x)
    assert torch.equal(found.isnan(), wanted.isnan()) and wanted.isnan().sum() == width - 1
    assert found[0, -1] == 1.0


def test_functions_of_elements_also_at_their_ends() -> None:
    ends = [
        0.0,
        -0.0,
        1e-30,
        0.5,
        -4.0,
        4.5,
        -88.0,
        88.5,
        88.72,
        88.73,
        89.0,
        -200.0,
        math.inf,
        -math.inf,
    ]
    x = torch.cat([torch.tensor([*ends, math.nan]), torch.linspace(-10, 10, 200)])[None, None]

    def function(x: Tensor) -> list[Tensor]:
        positive = x.abs() + 0.5
        powers = [positive**p for p in (-1.0, 0.5, 0.75, 1.5, 2, 3, 1.3)]
        signs = [torch.sign(x), torch.where(x > 0.25, x, -x)]
        return [x.exp(), x.erf(), x.sigmoid(), positive.sqrt(), positive.log(), *powers, *signs]

    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        for found, wanted in both(function, x.to(dtype)):
            torch.testing.assert_close(
                found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True
            )


def test_rows_sums_joins_and_cuts() -> None:
    x, gate = draw(2, 1, 9, 14), draw(2, 1, 9)

    def function(x: Tensor, gate: Tensor) -> list[Tensor]:
        normed = torch.nn.functional.layer_norm(x, (14,))
        wide = torch.cat([gate.unsqueeze(-1) * normed, x[..., :3]], -1)
        tall = torch.cat([wide, wide[..., 2:4, :] * 2], -2)
        turned = (x.mT.unsqueeze(-1) * x.mT.unsqueeze(-2)).sum(-3)
        padded = torch.nn.functional.pad(gate, (1, -2)) + gate[..., :1]
        moved = torch.nn.functional.pad(gate[..., :1], (1, -1)) + gate[..., :1]  # none is left
        top = wide.amax(-1, keepdim=True) - x.sum(-2).amax(-1)[..., None, None]
        return [
            wide,
            tall + 1.0,
            turned,
            padded,
            moved,
            top,
            torch.zeros_like(x),
            x.mT,
            wide[..., 3:],
        ]

    for found, wanted in both(function, x, gate):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (16, 16), (37, 8), (33, 300), (5, 3000)])
def test_rows_whose_loops_read_what_others_kept(rows: int, columns: int) -> None:
    """Blocks of rows: as many as one holds, more, a last one with fewer, and rows of any width."""
    x, gain = draw(2, 3, rows, columns), draw(2, 3, rows, 1)

    def function(x: Tensor, gain: Tensor) -> list[Tensor]:
        moved = x - x.sum(-1, keepdim=True) / columns
        spread = (moved * moved).sum(-1, keepdim=True) / columns
        normed = gain * moved * (spread + 1e-5).rsqrt()
        shares = (normed - normed.amax(-1, keepdim=True)).exp()
        return [normed, shares / shares.sum(-1, keepdim=True), spread.squeeze(-1)]

    for found, wanted in both(function, x, gain):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_memory_that_is_not_contiguous_is_read_and_written_where_it_lies() -> None:
    tokens = draw(2, 10, 3, 4)  # [B, T, H, d]
    into = torch.zeros_like(tokens)
    x, y = (t[:, 3:8].transpose(1, 2) for t in (tokens, into))

    def function(x: Tensor) -> list[Tensor]:
        return [x * 2.0 + x.sum(-2, keepdim=True)]

    made = make_program(function, [x], [y])
    made([[x, y]])
    torch.testing.assert_close(y, function(x)[0])
    assert not into[:, :3].any() and not into[:, 8:].any()


def test_triangular_systems_of_any_size() -> None:
    inputs = []
    for size, columns in [(1, 3), (5, 1), (12, 32), (13, 33), (40, 7)]:
        inputs += [draw(2, 3, size, size) / size**0.5, draw(2, 3, size, columns)]

    def solutions(*t: Tensor) -> list[Tensor]:
        found = []
        for a, b in zip(t[::2], t[1::2], strict=True):
            lower = torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True)
            found += [lower, *(solve_upper(a.mT, x) for x in (b, lower[..., :1]))]
        return found

    def solve_upper(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(a, b, upper=True, unitriangular=True)

    for found, wanted in both(solutions, *inputs):
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


CHUNKED_RULES = [n for n in RULES if classify(RULES[n]())[0] in ("C", "C'", "D")]
TOKEN_RULES = [n for n in RULES if classify(RULES[n]())[0] in ("A", "B")]
CHOICES: dict[str, dict[str, object]] = {
    "swiglu": {"network": "swiglu"},
    "vector": {"network": "vector"},
    "linear": {"network": "linear"},
    "deep": {"depth": 3},
    "huber": {"objective": "huber"},
    "lp": {"objective": "lp"},
    "dot": {"objective": "dot"},
    "newton_schulz": {"inner": "newton_schulz"},
    "channel": {"decay": "channel"},
    "value_channel": {"decay": "value_channel"},
    "passes": {"anchor": "passes:1"},
    "start": {"decay_towards": "start"},
}


TOKEN_CHOICES: dict[str, dict[str, object]] = {
    "plain": {},
    "channel": {"decay": "channel"},
    "start": {"decay_towards": "start"},
    "decayed": {"surprise_at": "decayed_memory", "momentum": "none"},
    "dot": {"objective": "dot", "decay": "value_channel"},
}


def agrees(rule: AbstractMemoryRule, monkeypatch: pytest.MonkeyPatch, *, length: int = 37) -> None:
    """Outputs and gradients of the compiled form are those of the eager one; nothing else ran."""
    monkeypatch.setattr(bodies, "trace", lambda *_: pytest.fail("torch.compile was asked"))
    case = make_problem(rule, Shape(batch=2, length=length, heads=3, width=6, dtype="fp64"))
    found, wanted = (forward_backward(CHUNKED.bind(rule, c), case)() for c in (True, False))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["titans", "omega"])
def test_rules_become_programs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agrees(RULES[name](chunk_size=8), monkeypatch)


@pytest.mark.parametrize(("name", "length"), [("linear_attention", 20), ("momentum_delta", 65)])
def test_rules_of_single_tokens_become_programs(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agrees(RULES[name](), monkeypatch, length=length)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 65, 70])  # whole chunks, and a token or a part of one
@pytest.mark.parametrize("name", TOKEN_RULES)
def test_every_rule_of_single_tokens_becomes_a_program(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agrees(RULES[name](), monkeypatch, length=length)


@pytest.mark.slow
@pytest.mark.parametrize("length", [65, 70])
@pytest.mark.parametrize("choice", TOKEN_CHOICES)
def test_every_choice_of_single_tokens_becomes_a_program(
    choice: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"network": "linear", "plain": True, "anchor": "token"}
    agrees(RULES["titans"](**plain, **TOKEN_CHOICES[choice]), monkeypatch, length=length)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 33, 37])
@pytest.mark.parametrize("name", CHUNKED_RULES)
def test_every_rule_becomes_a_program(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agrees(RULES[name](chunk_size=8), monkeypatch, length=length)


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_becomes_a_program(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agrees(RULES["titans"](chunk_size=8, **CHOICES[choice]), monkeypatch)


def test_what_has_no_counterpart_is_left_to_torch(caplog: pytest.LogCaptureFixture) -> None:
    def function(x: Tensor) -> list[Tensor]:
        return [x.cumsum(-1)]

    x = draw(1, 2, 3, 4)
    with pytest.raises(Unsupported, match="cumsum"):
        make_program(function, [x], [x])
    found = torch.empty_like(x)
    with caplog.at_level(logging.INFO):
        Body(function).run([([x], [found])])
    torch.testing.assert_close(found, x.cumsum(-1))
    assert "cumsum" in caplog.text


def test_a_library_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "cache_dir", lambda: str(tmp_path))
    with pytest.raises(LoweringError, match="refuses a program"):
        program.library("this is no C++")
    assert not list(tmp_path.rglob("*.so"))
    made = program.library('extern "C" int one() { return 1; }')
    before = made.stat().st_mtime_ns
    assert program.library('extern "C" int one() { return 1; }') == made
    assert made.stat().st_mtime_ns == before
    assert [p.name for p in made.parent.iterdir()] == [made.name]
