"""`decay_scan` and `delta_scan` against the recurrence in fp64, with all gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.decay_scan import _scan as decay_op
from kernels.decay_scan import decay_scan
from kernels.delta_scan import _scan as delta_op
from kernels.delta_scan import delta_scan
from memory_rules import RULES, recurrent
from memory_rules.testing import make_case
from playground.bench.gate import judge, results
from playground.compile import LOWERINGS
from playground.compile.lowering.triton_decode import Decoding
from playground.compile.lowering.triton_tokens import TokenScan, serves

(TRITON,) = (low for low in LOWERINGS if low.name == "triton")
SIZES = [  # B, T, H, K, V
    (1, 70, 2, 20, 36),
    (2, 10, 1, 16, 16),
    (1, 130, 1, 32, 16),
]


def given(B: int, T: int, H: int, K: int, V: int, *, gated: bool, least: float) -> list[Any]:
    """q, k, v, lr, keep (or None) and a first state, in fp32."""
    g = torch.Generator().manual_seed(T + K)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=g)

    q, k = (F.normalize(draw(B, T, H, K), dim=-1) for _ in range(2))
    lr = torch.rand(B, T, H, generator=g) / 2
    keep = least + (1 - least) * torch.rand(B, T, H, generator=g) ** 0.3 if gated else None
    made = [q, k, draw(B, T, H, V), lr, keep, draw(B, H, K, V)]
    return [None if t is None else t.requires_grad_() for t in made]


def by_token(
    q: Tensor, k: Tensor, v: Tensor, lr: Tensor, keep: Tensor | None, start: Tensor, rule: str
) -> tuple[Tensor, Tensor]:
    """Token by token."""
    memory, outputs = start, []
    for t in range(q.shape[1]):
        kept = memory if keep is None else keep[:, t, :, None, None] * memory
        error, step = v[:, t], lr[:, t, :, None]
        if rule != "decay":
            met = kept if rule == "decayed" else memory
            error, step = error - (k[:, t, :, None, :] @ met).squeeze(2), 2.0 * step
        memory = kept + k[:, t, :, :, None] * (step * error)[:, :, None, :]
        outputs.append((q[:, t, :, None, :] @ memory).squeeze(2))
    return torch.stack(outputs, 1), memory


def ours(*tensors: Any, rule: str) -> tuple[Tensor, Tensor]:
    if rule == "decay":
        return decay_scan(*tensors)
    return delta_scan(*tensors, decayed=rule == "decayed")


def with_gradients(run: Any, tensors: list[Any]) -> list[Tensor]:
    """Outputs, the last state, and the gradients of a weighted sum of both."""
    y, last = run(*tensors)
    g = torch.Generator().manual_seed(3)
    parts = [(t * torch.randn(t.shape, generator=g).to(t)).sum() for t in (y, last)]
    wanted = [t for t in tensors if t is not None]
    return [y, last, *torch.autograd.grad(parts[0] + parts[1], wanted)]


def doubled(tensors: list[Any]) -> list[Any]:
    return [None if t is None else t.detach().double().requires_grad_() for t in tensors]


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
@pytest.mark.parametrize("rule", ["decay", "decayed", "met before"])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: "-".join(map(str, s)))
def test_outputs_and_gradients(size: tuple[int, ...], rule: str, gated: bool) -> None:
    tensors = given(*size, gated=gated, least=0.05)  # pyright: ignore
    found = with_gradients(lambda *x: ours(*x, rule=rule), tensors)
    wanted = with_gradients(lambda *x: by_token(*x, rule=rule), doubled(tensors))
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).norm() < 1e-5 * other.norm()


def test_gates_at_their_ends() -> None:
    tensors = given(1, 70, 1, 16, 16, gated=True, least=0.0)
    with torch.no_grad():
        tensors[4][0, 5], tensors[4][0, 7], tensors[4][0, 66] = 0.0, 1.0, 0.0
        tensors[3][0, 9] = 0.0
    found = with_gradients(lambda *x: ours(*x, rule="decay"), tensors)
    wanted = with_gradients(lambda *x: by_token(*x, rule="decay"), doubled(tensors))
    kept = tensors[4].detach() > 1 / 256  # below, the gradient to it is held down
    found[6], wanted[6] = found[6] * kept, wanted[6] * kept
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).norm() < 2e-5 * other.norm()


@pytest.mark.parametrize("operator", ["decay", "delta"])
def test_the_operators_are_ones_for_torch(operator: str) -> None:
    tensors = given(1, 20, 1, 16, 16, gated=True, least=0.1)
    if operator == "decay":
        torch.library.opcheck(decay_op, tuple(tensors))
    else:
        torch.library.opcheck(delta_op, (*tensors, True))


@pytest.mark.parametrize("rule", ["decay", "decayed"])
def test_replicas_are_more_sequences(rule: str) -> None:
    stacked = [torch.stack([t, 0.5 * t]) for t in given(1, 20, 1, 16, 16, gated=True, least=0.1)]
    found = torch.func.vmap(lambda *x: ours(*x, rule=rule))(*stacked)
    for i in range(2):
        alone = ours(*(t[i] for t in stacked), rule=rule)
        assert all(torch.equal(f[i], a) for f, a in zip(found, alone, strict=True))


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
@pytest.mark.parametrize("rule", ["decay", "decayed"])
def test_gradients_reach_through_replicas(rule: str, gated: bool) -> None:
    one = [t for t in given(1, 20, 1, 16, 16, gated=gated, least=0.1) if t is not None]
    stacked = [torch.stack([t, 0.5 * t]).detach().requires_grad_() for t in one]

    def run(q: Tensor, k: Tensor, v: Tensor, lr: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        keep = rest[0] if gated else None
        return ours(q, k, v, lr, keep, rest[-1], rule=rule)

    y, last = torch.func.vmap(run)(*stacked)
    found = torch.autograd.grad(y.square().sum() + last.sum(), stacked)
    for i in range(2):
        alone = [t[i].detach().requires_grad_() for t in stacked]
        y, last = run(*alone)
        wanted = torch.autograd.grad(y.square().sum() + last.sum(), alone)
        assert all(torch.equal(f[i], w) for f, w in zip(found, wanted, strict=True))


SERVED = ("delta", "gated_delta", "linear_attention", "longhorn", "retention", "ssd")


def test_which_rules_are_served_in_place() -> None:
    assert tuple(name for name in sorted(RULES) if serves(RULES[name]())) == SERVED
    channels = {"network": "linear", "plain": True, "anchor": "token", "decay": "channel"}
    assert not serves(RULES["titans"](**channels, momentum="none"))
    assert not serves(RULES["titans"](**channels | {"decay": "token"}))  # it has momentum


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", SERVED)
def test_rules_in_16_bits(kind: str, masked: bool) -> None:
    rule = RULES[kind]()
    case = make_case(rule, B=1, T=70, H=1, dim=16)
    if masked:
        case = case.masked(torch.rand(1, 70, generator=torch.Generator().manual_seed(0)) < 0.8)
    scan, half = TRITON.bind(rule, False), case.to(torch.float16)
    assert isinstance(scan, Decoding) and isinstance(scan.many, TokenScan)
    exact, plain = results(recurrent, case, True), results(recurrent, half, True)
    gate = judge(exact, plain, results(scan, half, True), torch.float16, times=2.0)
    assert gate.green, gate.reason


def test_more_sequences_than_a_grid_has_are_refused() -> None:
    """Before anything runs: replicas are merged into sequences where a lowering no longer looks."""
    x, rate, start = torch.zeros(65_536, 1, 1, 1), torch.zeros(65_536, 1, 1), torch.zeros(1)
    start = start.expand(65_536, 1, 1, 1)
    with pytest.raises(ValueError, match="more than 65535 sequences times heads"):
        decay_scan(x, x, x, rate, None, start)
