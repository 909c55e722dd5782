"""Laws about a rule's place: it stays bounded over long streams, it meets its relatives."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.gradient import AbstractGradientRule
from memory_rules.registry import RULES
from memory_rules.scan import Scan, recurrent
from memory_rules.state import Inputs
from memory_rules.testing.inputs import Case, fresh_weights, make_case, make_inputs
from memory_rules.testing.law import CLOSE, Evidence, Law, is_oracle, results
from memory_rules.testing.numeric import altered

TOKENS, TOKENS_OF_THE_ORACLE, PIECE = 100_000, 1_200, 500
GROWTH = 10.0  # a straight line doubles from one half to the next; weights may jump, too


def bounded(
    rule: AbstractMemoryRule, scan: Scan, tokens: int | None = None, dim: int = 8
) -> Evidence:
    """A long stream under hard gates: finite, and it grows no faster than a straight line.

    Keys: random, three that repeat, one over and over. Gates: around their starting values;
    anywhere in their range; the largest step, nothing forgotten, momentum 0, 0.9, 0.99.

    Bounded means: all outputs and weights finite and never above 10 (tokens + 1) times the largest
    value or starting weight, so at most linear; and, against slow exponentials, the largest of the
    second half at most 10 times the largest of the first (linear attention, which forgets nothing,
    doubles). That growth is the error. It leaves out gates from anywhere: under those a deep memory
    now and then decays to nothing, its norm is then steep, and its weights jump for a few tokens.

    Args:
        rule: who is judged.
        scan: what runs it.
        tokens: length of the stream; 100,000, or 1,200 under the recurrent scan.
        dim: width of a head.
    """
    tokens = tokens or (TOKENS_OF_THE_ORACLE if is_oracle(scan) else TOKENS)
    found, stream = Evidence(GROWTH), _Stream(rule, dim)
    weights, slow = fresh_weights(rule, H=1, dim=dim)
    limit = 10.0 * (tokens + 1) * max(4.0, *(w.abs().max().item() for w in weights.values()))
    highest, peaks = 0.0, []
    with torch.no_grad():
        state = rule.initial_state(weights, slow, stream.rows)
        for piece in range(math.ceil(tokens / PIECE)):
            y, state = scan(rule, state, stream.piece(piece, PIECE))
            largest = _largest_of_rows(y, *state.memory.values())
            highest = largest.max().item()  # NaN propagates
            peaks.append(largest[stream.steady].max().item())
            if not highest <= limit:
                break
    found.require(f"{highest:.3g} after {len(peaks) * PIECE} tokens", highest <= limit)
    half = len(peaks) // 2
    if half and highest <= limit:
        late, early = max(peaks[half:]), max(peaks[:half])
        found.note(f"from {early:.3g} to {late:.3g} over {tokens} tokens", late / early)
    return found


def _largest_of_rows(*parts: Tensor) -> Tensor:
    return torch.stack([x.abs().flatten(1).amax(1) for x in parts]).amax(0)


class _Stream:
    """Sequences = kinds of keys x settings of the gates, piece after piece."""

    momenta = (None, None, 0.0, 0.9, 0.99)  # None: all gates as drawn

    def __init__(self, rule: AbstractMemoryRule, dim: int) -> None:
        self.rule, self.dim, self.rows = rule, dim, 3 * len(self.momenta)
        self.steady = torch.arange(self.rows) % len(self.momenta) != 1
        g = torch.Generator().manual_seed(23)
        self.few = F.normalize(torch.randn(3, dim, generator=g, dtype=torch.float64), dim=-1)

    def piece(self, index: int, tokens: int) -> Inputs:
        """The tokens of one piece of the stream; the index is its seed."""
        x = make_inputs(
            self.rule, B=self.rows, T=tokens, H=1, dim=self.dim, seed=index + 1, gates="default"
        )
        anywhere = make_inputs(
            self.rule, B=self.rows, T=tokens, H=1, dim=self.dim, seed=index + 1, gates="random"
        )
        groups = len(self.momenta)
        k = x.k.clone()
        repeated = self.few[torch.arange(tokens) % 3]
        k[groups : 2 * groups] = repeated[None, :, None]
        k[2 * groups :] = self.few[0]
        for name, gate in self.rule.gates.items():
            for n, leaf in x.gates[name].items():
                leaf[1::groups] = anywhere.gates[name, n][1::groups]
                for row in range(self.rows):
                    hard = self._hard(name, gate.low, gate.high, self.momenta[row % groups])
                    if hard is not None:
                        leaf[row] = hard
        return x.replace(k=k, q=k)

    def _hard(self, name: str, low: float, high: float, momentum: float | None) -> float | None:
        if momentum is None or math.isinf(high):
            return None
        return {"decay": low, "momentum": momentum}.get(name, high)


# landmarks


@dataclass(frozen=True)
class Landmark:
    """A rule and another that is the same mathematics, given the same gates and `extra`."""

    name: str
    other: Callable[[AbstractMemoryRule], AbstractMemoryRule | None]
    extra: tuple[tuple[str, float], ...] = ()  # gates that only the other has


def _plain_titans(**fields: object) -> Callable[[AbstractMemoryRule], AbstractMemoryRule]:
    made = {"network": "linear", "plain": True, "anchor": "token", **fields}
    return lambda rule: RULES["titans"](**made)


def _momentum_delta(rule: AbstractMemoryRule) -> AbstractMemoryRule:
    fields: dict[str, object] = {"surprise_at": "decayed_memory"}
    return RULES["momentum_delta"](**fields)


def _token_anchor(rule: AbstractMemoryRule) -> AbstractMemoryRule | None:
    if not isinstance(rule, AbstractGradientRule) or rule.nonlinear_close or not rule.chunked:
        return None
    return altered(rule, anchor="token")


def _passes(rule: AbstractMemoryRule) -> AbstractMemoryRule | None:
    """Of a rule in passes alone: a lowering may refuse them where it takes it without."""
    if not isinstance(rule, AbstractGradientRule) or not rule.passes or rule.window > 1:
        return None
    return altered(rule, anchor="passes:3", chunk_size=4)


LANDMARKS: dict[str, tuple[Landmark, ...]] = {
    "delta": (
        Landmark("plain linear Titans, no momentum", _plain_titans(momentum="none", decay="none")),
    ),
    "linear_attention": (
        Landmark(
            "plain linear Titans on a dot product",
            _plain_titans(objective="dot", momentum="none", decay="none", lr="fixed:1.0"),
        ),
    ),
    "gated_delta": (
        Landmark(
            "momentum delta at the decayed memory, momentum 0",
            _momentum_delta,
            extra=(("momentum", 0.0),),
        ),
    ),
    "momentum_delta": (Landmark("plain linear Titans, anchor token", _plain_titans()),),
}


def landmarks(rule: AbstractMemoryRule, scan: Scan) -> Evidence:
    """The rule and a relative with other fields, on the same tokens, where they must agree."""
    found = Evidence(CLOSE)
    for landmark in LANDMARKS.get(rule.kind, ()):
        other = landmark.other(RULES[rule.kind]())
        assert other is not None
        _meet(found, landmark, RULES[rule.kind](), other, scan)
    one, token = altered(rule, chunk_size=1), _token_anchor(rule)
    if one is not None and token is not None:
        _meet(found, Landmark("anchor: token is chunk_size 1", _token_anchor), one, token, scan)
        four, passes = altered(rule, chunk_size=4, anchor="token"), _passes(rule)
        if four is not None and passes is not None:
            _meet(found, Landmark("passes:3 is token at chunk_size 4", _passes), passes, four, scan)
    return found


def _meet(
    found: Evidence,
    landmark: Landmark,
    rule: AbstractMemoryRule,
    other: AbstractMemoryRule,
    scan: Scan,
) -> None:
    """`rule` under the scan against `other` under the oracle, which no rule refuses."""
    case = make_case(rule, T=9)
    gates = case.inputs.gates.clone()
    names = list(rule.shapes(4))
    for name, value in landmark.extra:
        gates[name] = {n: torch.full_like(case.inputs.k[..., 0], value) for n in names}
    theirs = Case(
        rule=other,
        weights=case.weights,
        slow=case.slow,
        inputs=case.inputs.replace(gates=gates),
    )
    ours, expected = results(scan, case), results(recurrent, theirs)
    shared = [n for n in ours if n == "y" or n.startswith("memory.")]
    found.all_close(landmark.name, {n: ours[n] for n in shared}, {n: expected[n] for n in shared})


def _landmarks_apply(rule: AbstractMemoryRule, scan: Scan) -> str:
    if rule.kind in LANDMARKS or _token_anchor(rule) is not None:
        return ""
    return "no other rule here is the same mathematics"


LONG_LAWS = (
    Law(
        name="bounded",
        says="a long stream under hard gates stays finite and grows at most linearly",
        judge=bounded,
        marks=("slow",),
    ),
    Law(
        name="landmarks",
        says="it equals its relatives where their mathematics is the same",
        judge=landmarks,
        applies=_landmarks_apply,
    ),
)
