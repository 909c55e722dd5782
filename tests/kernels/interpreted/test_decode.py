"""Decoding kernels against `step` token by token, and against the state `recurrent` arrives at."""

from dataclasses import fields
from typing import Any, cast

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor

from kernels.decode import Token, _token, decode
from kernels.decode_deep import Deep, DeepToken, _deep, decode_deep
from memory_rules import RULES, AbstractMemoryRule, Inputs, State, recurrent
from memory_rules.testing import Case, make_case
from playground.compile.lowering.triton_decode import Decoding, decoder

LINEAR: dict[str, Any] = {"network": "linear", "plain": True, "anchor": "token"}
CHANNELS = {"decay": "channel", "decay_towards": "start", "read_at": "before"}
VALUES = {"decay": "value_channel", "residual": False, "norm": "none"}
CHUNKS: dict[str, Any] = {"chunk_size": 5, "expand": 2.0}


def make(kind: str, **more: Any) -> AbstractMemoryRule:
    names = {f.name for f in fields(RULES[kind])}
    return RULES[kind](**{n: v for n, v in CHUNKS.items() if n in names} | more)


EVERY_TOKEN = {
    "delta": make("delta"),
    "gated_delta": make("gated_delta"),
    "longhorn": make("longhorn"),
    "retention": make("retention"),
    "gla": make("gla"),
    "titans": make("titans", **LINEAR),
    "titans-channels": make("titans", **LINEAR, **CHANNELS),
    "titans-residual": make("titans", **LINEAR | {"plain": False, "norm": "none"}),
    "titans-decayed": make("titans", **LINEAR, surprise_at="decayed_memory"),
    "titans-values": make("titans", **LINEAR, decay="value_channel", objective="dot"),
}
IN_CHUNKS = {
    "deep": make("titans"),
    "deep-channels": make("titans", **CHANNELS),
    "deep-values": make("titans", **VALUES),
    "yaad": make("yaad", delta=0.7),
    "linear": make("titans", network="linear"),
    "linear-plain": make("titans", network="linear", plain=True, objective="dot", momentum="none"),
}


def refuse(rule: AbstractMemoryRule, state: State, inputs: Inputs) -> tuple[Tensor, State]:
    raise AssertionError("a single token without gradients went to the scan")


def decoding(rule: AbstractMemoryRule) -> Decoding:
    known, why = decoder(rule)
    assert known is not None, why
    return Decoding(cast(Any, rule), known, refuse)


def gated(rule: AbstractMemoryRule, tokens: int, *, B: int, H: int, dim: int) -> Case:
    """Half of the tokens with gates anywhere in their ranges, half at 0, 1 and near; masked."""
    case = make_case(rule, B=B, T=tokens, H=H, dim=dim, gates="random")
    extreme = make_case(rule, B=B, T=tokens, H=H, dim=dim, gates="extreme").leaves()
    first = torch.arange(tokens) < tokens // 2
    leaves = {
        n: torch.where(first.view(-1, *[1] * (t.ndim - 2)), t, extreme[n]) if "gates" in n else t
        for n, t in case.leaves().items()
    }
    mask = torch.rand(B, tokens, generator=torch.Generator().manual_seed(1)) < 0.85
    return case.with_leaves(leaves).masked(mask)


def one_by_one(scan: Any, rule: AbstractMemoryRule, case: Case) -> tuple[Tensor, State]:
    """Outputs of single tokens, and the last state."""
    state, outputs = case.state(), []
    for t in range(case.inputs.batch_size[1]):
        y, state = scan(rule, state, case.inputs[:, t : t + 1])
        outputs.append(y)
    return torch.cat(outputs, 1), state


def leaves(y: Tensor, state: State) -> dict[str, Tensor]:
    """What a scan gives, by name."""
    parts = {"memory": state.memory, "momentum": state.momentum, "anchor": state.anchor}
    flat = TensorDict(parts, batch_size=state.batch_size).flatten_keys(".")
    return {"y": y, **cast(dict[str, Tensor], dict(flat.items()))}


def apart(ours: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest difference in any leaf, relative where the leaf is larger than 1."""
    assert set(ours) == set(exact)
    off = [(ours[n] - t).abs().max() / t.abs().max().clamp(min=1) for n, t in exact.items()]
    return torch.stack(off).max().item()


def compare(rule: AbstractMemoryRule, tokens: int, limit: float, **sizes: int) -> None:
    """Every output and the last state in fp64, against `recurrent`."""
    case = gated(rule, tokens, **sizes)
    with torch.no_grad():
        wanted = recurrent(rule, case.state(), case.inputs)
        found = one_by_one(decoding(rule), rule, case)
    assert torch.equal(found[1].position, wanted[1].position)
    assert apart(leaves(*found), leaves(*wanted)) <= limit


@pytest.mark.parametrize("name", ["longhorn", "gla", "titans-channels", "titans-values"])
def test_linear_memories_step_as_the_rule_says(name: str) -> None:
    compare(EVERY_TOKEN[name], 18, 1e-12, B=2, H=1, dim=5)


@pytest.mark.parametrize("name", ["deep-channels", "deep-values", "yaad", "linear-plain"])
def test_memories_with_chunks_step_as_the_rule_says(name: str) -> None:
    compare(IN_CHUNKS[name], 12, 1e-11, B=2, H=1, dim=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted((EVERY_TOKEN | IN_CHUNKS).keys() - {"deep", "yaad"}))
def test_hundreds_of_tokens_step_as_the_rule_says(name: str) -> None:
    compare((EVERY_TOKEN | IN_CHUNKS)[name], 200, 1e-12, B=1, H=1, dim=9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep", "yaad"])
def test_every_one_of_hundreds_of_tokens_steps_from_where_the_oracle_stands(name: str) -> None:
    """Not in one go: a bit in the values moves the oracle itself, of deep by 4e-9 in 200 tokens."""
    rule, step = IN_CHUNKS[name], decoding(IN_CHUNKS[name])
    case = gated(rule, 200, B=1, H=1, dim=9)
    state = case.state()
    for t in range(200):
        token = case.inputs[:, t : t + 1]
        with torch.no_grad():
            wanted = recurrent(rule, state, token)
            found = step(rule, state.clone(), token)
        assert torch.equal(found[1].position, wanted[1].position)
        assert apart(leaves(*found), leaves(*wanted)) <= 1e-12
        state = wanted[1]


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("titans", 30), ("deep", 12), pytest.param("deep", 200, marks=pytest.mark.slow)],
)
def test_steps_in_fp32_are_as_exact_as_the_rules_own(name: str, tokens: int) -> None:
    """From the same state at every token: a layer norm of almost nothing lets any two runs part."""
    rule = (EVERY_TOKEN | IN_CHUNKS)[name]
    small, scan = gated(rule, tokens, B=1, H=1, dim=16).to(torch.float32), decoding(rule)
    state, ours, plain = small.to(torch.float64).state(), Errors(), Errors()
    with torch.no_grad():
        for t in range(tokens):
            x, here = small.inputs[:, t : t + 1], typed(state, torch.float32)
            y, state = recurrent(rule, typed(here, torch.float64), typed(x, torch.float64))
            wanted = leaves(y, state)
            ours.add(leaves(*scan(rule, here, x)), wanted)
            plain.add(leaves(*recurrent(rule, here, x)), wanted)
    for key, error in ours.squares.items():
        assert error**0.5 <= 2.0 * plain.squares[key] ** 0.5 + 1e-7 * ours.sizes[key] ** 0.5, key


def typed(x: Any, dtype: torch.dtype) -> Any:
    """The same state or inputs with floating tensors in another type."""
    return x.apply(lambda t: t.to(dtype) if t.is_floating_point() else t)


class Errors:
    """Sums of squares over tokens, by name."""

    def __init__(self) -> None:
        self.squares: dict[str, float] = {}
        self.sizes: dict[str, float] = {}

    def add(self, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
        """One token's."""
        for name, exact in wanted.items():
            assert found[name].dtype == torch.float32
            error = (found[name].double() - exact).square().sum().item()
            self.squares[name] = self.squares.get(name, 0.0) + error
            self.sizes[name] = self.sizes.get(name, 0.0) + exact.square().sum().item()


def test_half_precision_tokens_meet_a_state_in_fp32() -> None:
    rule = EVERY_TOKEN["titans"]
    case = gated(rule, 3, B=1, H=1, dim=8).to(torch.float16)
    with torch.no_grad():
        wanted, last = recurrent(rule, case.state(), case.inputs)
        y, state = one_by_one(decoding(rule), rule, case)
    assert y.dtype == torch.float16 and state.memory["w"].dtype == torch.float32
    assert (y.float() - wanted.float()).abs().max() <= 2e-3
    assert (state.memory["w"] - last.memory["w"]).abs().max() <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["titans", "deep"])
def test_a_step_is_one_graph(name: str) -> None:
    rule = (EVERY_TOKEN | IN_CHUNKS)[name]
    case, scan = gated(rule, 1, B=1, H=1, dim=4), decoding(rule)

    def step(state: State, inputs: Inputs) -> tuple[Tensor, State]:
        return scan(rule, state, inputs)

    with torch.no_grad():
        wanted = leaves(*step(case.state(), case.inputs))
        compiled = torch.compile(step, fullgraph=True, backend="eager")
        found = leaves(*compiled(case.state(), case.inputs))
    assert all(torch.equal(found[n], t) for n, t in wanted.items())


# the operators


def tokens(*, deep: bool, dtype: torch.dtype = torch.float64) -> tuple[Any, Any]:
    """A state and a token, B = 2, H = 1; hidden width 6."""
    g = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.rand(2, 1, *size, generator=g, dtype=torch.float64).to(dtype)

    q, k, v, mask = draw(4), draw(4), draw(4), torch.tensor([True, False])
    if not deep:
        return (draw(4, 4), draw(4, 4)), Token(q, k, v, draw(), draw(), draw(), mask)
    groups = [[draw(4, 6), draw(6, 4)] for _ in range(4)]
    gates = [[draw(), draw()] for _ in range(3)]
    return Deep(*groups, torch.tensor([3, 3])), DeepToken(q, k, v, *gates, mask)


def flat(deep: bool) -> tuple[Any, ...]:
    """The operators' own arguments."""
    state, x = tokens(deep=deep)
    if not deep:
        return (*state, state[0] + 1.0, *x, 0, True, True, False, True)
    gates = (x.lr, x.keep, x.eta, x.q, x.k, x.v, state.position, x.mask)
    return (*state[:4], *gates, 4, 0, 0, 0.0, True, True, True, 2)


def test_the_operators_are_ones_for_torch() -> None:
    torch.library.opcheck(_token, flat(False))
    torch.library.opcheck(_deep, flat(True))


def test_replicas_are_more_sequences() -> None:
    (memory, momentum), x = tokens(deep=False)
    several = [torch.stack([t, 0.5 * t]) for t in (memory, momentum, x.q)]

    def run(memory: Tensor, momentum: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        y, new, moved = decode(memory, momentum, x._replace(q=q), residual=True)
        assert moved is not None
        return y, new, moved

    found = torch.func.vmap(run)(*several)
    for i in range(2):
        one = run(*(t[i] for t in several))
        assert all(torch.equal(a[i], b) for a, b in zip(found, one, strict=True))


def test_replicas_of_deep_memories_are_more_sequences() -> None:
    state, x = tokens(deep=True)
    several = [torch.stack([t, 0.5 * t]) for t in (*state.memory, x.q)]

    def run(first: Tensor, last: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        y, new = decode_deep(
            state._replace(memory=[first, last]), x._replace(q=q), chunk_size=4, spans=1
        )
        return y, *new.memory, *new.momentum, *new.anchor

    found = torch.func.vmap(run)(*several)
    for i in range(2):
        one = run(*(t[i] for t in several))
        assert all(torch.equal(a[i], b) for a, b in zip(found, one, strict=True))


def test_a_memory_may_be_split_over_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.decode_deep.TILE", 8)  # tiles of two hidden channels
    state, x = tokens(deep=True)
    for objective in ("l2", "huber"):
        one = decode_deep(state, x, chunk_size=4, objective=objective, delta=0.3, spans=1)
        found = decode_deep(state, x, chunk_size=4, objective=objective, delta=0.3, spans=2)
        assert (found[0] - one[0]).abs().max() <= 1e-13
        for ours, theirs in zip(found[1][:3], one[1][:3], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_states_that_are_shared_stay_what_they_were() -> None:
    for rule in (EVERY_TOKEN["titans-channels"], IN_CHUNKS["deep-channels"]):
        case = gated(rule, 5, B=2, H=1, dim=4)
        state = case.state()
        before = {n: t.clone() for n, t in leaves(state.position, state).items()}
        with torch.no_grad():
            one_by_one(decoding(rule), rule, case)
        for name, leaf in leaves(state.position, state).items():
            assert torch.equal(leaf, before[name]), name


def test_what_would_be_wrong_is_refused() -> None:
    (memory, momentum), x = tokens(deep=False)
    with pytest.raises(TypeError, match="one dtype"):
        decode(memory, momentum.float(), x)
    with pytest.raises(TypeError, match="bf16 wrongly"):
        decode(memory, momentum, x._replace(q=x.q.bfloat16()))
