"""Random inputs for a rule: unit queries and keys, normal values, gates inside their ranges."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor

from memory_rules.base import AbstractMemoryRule
from memory_rules.gates import Gate
from memory_rules.state import Inputs, State

Gates = Literal["random", "extreme", "default", "low"]

# where in its range an extreme gate may lie: its ends, and what lies just inside them
EXTREMES = (0.0, math.exp(-8.0), 0.1, 0.5, 0.9, 0.99, 1.0)


def make_inputs(
    rule: AbstractMemoryRule,
    *,
    B: int = 2,
    T: int = 8,
    H: int = 2,
    dim: int = 4,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    gates: Gates = "random",
    device: torch.device | str = "cpu",
) -> Inputs:
    """Inputs of a scan, a function of the arguments alone.

    Args:
        rule: says which gates it wants.
        B: sequences.
        T: tokens.
        H: heads.
        dim: width of a head, of keys and of values.
        dtype: of everything; gates are at least fp32, as a block makes them.
        seed: of a generator of its own.
        gates: random, anywhere in the range; extreme, one of EXTREMES of it; default, around the
            starting value; low, the lower end.
        device: where they are drawn and lie.
    """
    g = torch.Generator(device).manual_seed(seed)
    q, k, v = (normal((B, T, H, dim), g) for _ in range(3))
    shapes = {n: rule.shapes(dim)[n] for n in rule.writes(dim)}
    made = {
        name: {n: _gate(gate, shape, (B, T, H), gates, g) for n, shape in shapes.items()}
        for name, gate in rule.gates.items()
    }
    return Inputs(
        q=F.normalize(q, dim=-1).to(dtype),
        k=F.normalize(k, dim=-1).to(dtype),
        v=v.to(dtype),
        gates=TensorDict(made, batch_size=[B, T]).to(torch.promote_types(dtype, torch.float32)),
        batch_size=[B, T],
    )


def normal(shape: Sequence[int], g: torch.Generator) -> Tensor:
    """Standard normal numbers in fp64, where the generator is."""
    return torch.randn(*shape, generator=g, dtype=torch.float64, device=g.device)


def _gate(
    gate: Gate,
    matrix: tuple[int, int],
    tokens: tuple[int, int, int],
    how: Gates,
    g: torch.Generator,
) -> Tensor:
    B, T, H = tokens
    channels = {"channel": matrix[:1], "value_channel": matrix[1:]}.get(gate.kind, ())
    shape = (B, 1 if gate.kind == "head" else T, H, *channels)
    shape = shape if gate.width is None else (*shape, gate.width)
    if how == "default":
        values = gate.of(gate.logit + 0.5 * normal(shape, g))
        return values.expand(B, T, *shape[2:]).clone()
    if how == "random":
        share = torch.rand(shape, generator=g, dtype=torch.float64, device=g.device)
    elif how == "extreme":
        at = torch.randint(len(EXTREMES), shape, generator=g, device=g.device)
        share = torch.tensor(EXTREMES, dtype=torch.float64, device=g.device)[at]
    else:
        share = torch.zeros(shape, dtype=torch.float64, device=g.device)
    values = gate.low + share * (1.0 if math.isinf(gate.high) else gate.high - gate.low)
    return values.expand(B, T, *shape[2:]).clone()


def fresh_weights(
    rule: AbstractMemoryRule,
    *,
    H: int = 2,
    dim: int = 4,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Starting weights [H, d_in, d_out] of variance 1 / d_in, and slow vectors near 0."""
    g = torch.Generator(device).manual_seed(seed + 7919)
    weights = {n: normal((H, i, o), g).to(dtype) / i**0.5 for n, (i, o) in rule.shapes(dim).items()}
    slow = {n: 0.1 * normal((H, size), g).to(dtype) for n, size in rule.slow_shapes(dim).items()}
    return weights, slow


def fresh_state(
    rule: AbstractMemoryRule,
    *,
    B: int = 2,
    H: int = 2,
    dim: int = 4,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> State:
    """The state before the first token, from `fresh_weights`."""
    weights, slow = fresh_weights(rule, H=H, dim=dim, dtype=dtype, seed=seed)
    return rule.initial_state(weights, slow, B)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One problem for a scan: a rule, its learned weights and its inputs."""

    rule: AbstractMemoryRule
    weights: Mapping[str, Tensor]
    slow: Mapping[str, Tensor]
    inputs: Inputs

    def state(self) -> State:
        return self.rule.initial_state(self.weights, self.slow, self.inputs.batch_size[0])

    def leaves(self) -> dict[str, Tensor]:
        """Everything a gradient can reach, by name."""
        x = self.inputs
        gates = {f"gates.{n}.{m}": g for n, of in x.gates.items() for m, g in of.items()}
        weights = {f"weights.{n}": w for n, w in self.weights.items()}
        slow = {f"slow.{n}": w for n, w in self.slow.items()}
        return {"q": x.q, "k": x.k, "v": x.v, **gates, **weights, **slow}

    def with_leaves(self, leaves: Mapping[str, Tensor]) -> "Case":
        """The same case with other tensors in place of its leaves."""
        x, size = self.inputs, self.inputs.batch_size
        gates = {
            n: TensorDict({m: leaves[f"gates.{n}.{m}"] for m in of}, batch_size=size)
            for n, of in ((n, list(of.keys())) for n, of in x.gates.items())
        }
        inputs = Inputs(
            q=leaves["q"],
            k=leaves["k"],
            v=leaves["v"],
            gates=TensorDict(gates, batch_size=size),
            mask=x.mask,
            batch_size=size,
        )
        return replace(
            self,
            inputs=inputs,
            weights={n: leaves[f"weights.{n}"] for n in self.weights},
            slow={n: leaves[f"slow.{n}"] for n in self.slow},
        )

    def masked(self, mask: Tensor) -> "Case":
        """The same case with padding where `mask` [B, T] is False."""
        return replace(self, inputs=self.inputs.replace(mask=mask))

    def to(self, dtype: torch.dtype) -> "Case":
        """The same numbers in another precision; gates and weights stay at least fp32."""
        wide = torch.promote_types(dtype, torch.float32)
        tokens = ("q", "k", "v")
        moved = {n: x.to(dtype if n in tokens else wide) for n, x in self.leaves().items()}
        return self.with_leaves(moved)


def make_case(
    rule: AbstractMemoryRule,
    *,
    B: int = 2,
    T: int = 8,
    H: int = 2,
    dim: int = 4,
    seed: int = 0,
    gates: Gates = "random",
    device: torch.device | str = "cpu",
) -> Case:
    """A case in float64."""
    weights, slow = fresh_weights(rule, H=H, dim=dim, seed=seed, device=device)
    inputs = make_inputs(rule, B=B, T=T, H=H, dim=dim, seed=seed, gates=gates, device=device)
    return Case(rule=rule, weights=weights, slow=slow, inputs=inputs)
