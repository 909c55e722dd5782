"""The gates of a memory rule, made from the tokens: how much to write, to keep, to carry on.

A rule says which gates it wants learned (`rule.gates`) and in which range; this module makes them,
one per fast matrix (`per_layer: true`) or one for all of them.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn

from blocks.init import Fill, constant, normal
from memory_rules import AbstractMemoryRule, Gate

RANK = 32  # width of the low-rank projection of channel gates
SHUT = -1e4  # a logit whose sigmoid and softplus are 0 in every precision
SPREAD = 0.3  # of the logits at the start, for tokens of unit size


class GateHead(nn.Module):
    """The parameters of one gate: logits from what its `weight` reads off the tokens.

    weight: [rows, M], what is read of a token; None for a gate that is the same for all tokens.
    up: [H * d, RANK] for channel gates, else None.
    bias: [H, ...], starts at the logit of `gate.init`.
    """

    def __init__(self, gate: Gate, dim: int, heads: int, channels: int) -> None:
        """A gate of `heads` heads on tokens of width `dim`; channels: trailing axis or 0."""
        super().__init__()
        self.gate = gate
        trailing = [n for n in (channels, gate.width or 0) if n]
        outputs = heads * math.prod(trailing)
        rows = min(RANK, dim) if channels else outputs
        self.weight = None if gate.kind == "head" else nn.Parameter(torch.empty(rows, dim))
        self.up = nn.Parameter(torch.empty(outputs, rows)) if channels else None
        self.bias = nn.Parameter(torch.empty(heads, *trailing))

    def initial(self) -> Mapping[str, Fill]:
        """Small weights around the bias that gives the gate's starting value."""
        said: dict[str, Fill] = {"bias": constant(self.gate.logit)}
        if self.weight is not None:
            size = 1.0 if self.up is not None else SPREAD
            said["weight"] = normal(size / math.sqrt(self.weight.shape[1]))
        if self.up is not None:
            said["up"] = normal(SPREAD / math.sqrt(self.up.shape[1]))
        return said

    def neutral(self) -> Mapping[str, Fill]:
        """Weights with which the gate is at the lower end of its range, whatever the token."""
        shut = {name: constant(0.0) for name, _ in self.named_parameters()}
        return shut | {"bias": constant(SHUT)}

    def forward(self, read: Tensor | None, tokens: Sequence[int]) -> Tensor:
        """The gate in its final range, at least fp32: [*tokens, H, ...]."""
        if read is None:
            logits = _at_least_fp32(self.bias).expand(*tokens, *self.bias.shape)
        else:
            wide = read if self.up is None else F.linear(read, self.up)
            logits = _at_least_fp32(wide).unflatten(-1, self.bias.shape) + self.bias
        return self.gate.of(logits)


class Gates(nn.Module):
    """All learned gates of one rule: x [B, T, M] -> gates[name][matrix] [B, T, H, ...].

    Raises:
        ValueError: one channel gate is to be shared by matrices of different widths.
    """

    def __init__(self, rule: AbstractMemoryRule, dim: int, heads: int) -> None:
        """Gates for `rule` with `heads` heads of width dim / heads on tokens of width `dim`."""
        super().__init__()
        width = dim // heads
        shapes = {name: rule.shapes(width)[name] for name in rule.writes(width)}
        shared = not getattr(rule, "per_layer", True)
        self.gates: dict[str, dict[str, str]] = {}  # gate -> matrix -> its head's name
        self.heads = nn.ModuleDict()
        for name, gate in rule.gates.items():
            channels = {m: _channels(gate, shape) for m, shape in shapes.items()}
            if shared and len(set(channels.values())) > 1:
                raise ValueError(
                    f"per_layer: a {gate.kind} {name} cannot be shared by matrices of widths "
                    f"{sorted(set(channels.values()))}. Set per_layer: true or {name}: token."
                )
            self.gates[name] = {m: name if shared else f"{name}_{m}" for m in shapes}
            for matrix, head in self.gates[name].items():
                if head not in self.heads:
                    self.heads[head] = GateHead(gate, dim, heads, channels[matrix])

    def forward(self, x: Tensor) -> TensorDict:
        """Every gate in its final range; one matrix product reads the tokens for all of them."""
        tokens = x.shape[:-1]
        heads = {n: h for n, h in self.heads.items() if isinstance(h, GateHead)}
        weights = {n: h.weight for n, h in heads.items() if h.weight is not None}
        reads: dict[str, Tensor] = {}
        if weights:
            flat = F.linear(x, torch.cat([*weights.values()]))
            parts = flat.split([w.shape[0] for w in weights.values()], -1)
            reads = dict(zip(weights, parts, strict=True))
        made = {n: head(reads.get(n), tokens) for n, head in heads.items()}
        nested = {
            gate: TensorDict({m: made[n] for m, n in of.items()}, batch_size=tokens)
            for gate, of in self.gates.items()
        }
        return TensorDict(nested, batch_size=tokens)


def _channels(gate: Gate, shape: tuple[int, int]) -> int:
    return {"channel": shape[0], "value_channel": shape[1]}.get(gate.kind, 0)


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
