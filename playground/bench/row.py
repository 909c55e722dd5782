"""One row of a bench: a time, or the reason why there is none."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from playground.bench.gate import Gate
from playground.bench.inputs import GateScale, Shape
from playground.bench.measure import Times
from playground.bench.work import Mode

Kind = Literal["rule", "model"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one step of a call cannot do without; None where there is no formula.

    flops: of matrix products (compile/flops.py), a backward pass counted as two forward passes;
    bytes: what must be read or written once, if everything between stayed on the chip.
    """

    flops: float | None
    bytes: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was found of one path of one thing.

    Attributes:
        kind, what, rule_class, mode, shape, scale, path: what ran; `path` is recurrent, eager,
            compiled, triton, or `peer: NAME`.
        ran: by part of a model, or of a rule: the form that ran, as seen in a call.
        refused: why the path cannot run.
        gate: how far its numbers are from the recurrence in fp64; None where it was refused, where
            it broke, and for a peer of other mathematics.
        failed: what was raised, or what is wrong beside the gate.
        other: of a peer, how its mathematics differs; it has a time without a gate.
        times: of a step; None without a green gate.
        tokens: of a step, all sequences together.
        cost: see `Cost`; `flops_share` and `bytes_share`: of the peaks measured in the same run.
        memory: bytes that a call adds to what was there before.
        compile_s: what the first call took longer; None for what is not compiled.
        graph_breaks: counted by torch in the first call.
        speedup: over the baseline of the same group.
    """

    kind: Kind
    what: str
    rule_class: str = ""
    mode: Mode
    shape: Shape
    scale: GateScale = "default"
    path: str
    ran: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    gate: Gate | None = None
    failed: str = ""
    other: str = ""
    times: Times | None = None
    tokens: int = 0
    cost: Cost | None = None
    flops_share: float | None = None
    bytes_share: float | None = None
    memory: int | None = None
    compile_s: float | None = None
    graph_breaks: int | None = None
    speedup: float | None = None

    def __post_init__(self) -> None:
        green = bool(self.other) if self.gate is None else self.gate.green
        if self.times is not None and (self.refused or self.failed or not green):
            raise ValueError(f"times: {self.what} has no green gate, so it has no time.")

    @property
    def tokens_per_s(self) -> float | None:
        return None if self.times is None else self.tokens / self.times.median * 1e3

    @property
    def said(self) -> str:
        """Why there is no time; empty where there is one."""
        if self.refused:
            return f"cannot run: {self.refused}"
        red = self.gate.reason if self.gate is not None else ""
        return f"FAIL: {self.failed or red}" if self.failed or red else ""

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON: numbers that are not finite as text."""
        found = asdict(self) | {"ran": dict(self.ran)}
        return _plain(found | {"tokens_per_s": self.tokens_per_s, "said": self.said})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
