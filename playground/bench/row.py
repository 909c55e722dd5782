"""One row of a benchmark: a time, or the reason why there is none."""

from dataclasses import asdict, dataclass
from typing import Any

from playground.bench.gate import Gate
from playground.bench.inputs import GateScale, Shape
from playground.bench.measure import Times
from playground.bench.work import Mode


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one rule, form, shape and mode.

    Attributes:
        rule, rule_class, lowering, compiled, shape, scale, mode: what ran.
        times: None where the pair was refused or its gate is red.
        refused: why the form cannot run the rule.
        gate: how far its numbers are from the recurrence; None where it was refused.
        peak_share: of the matmul peak of the same run, where FLOPs and peak are known.
    """

    rule: str
    rule_class: str
    lowering: str
    compiled: bool
    shape: Shape
    scale: GateScale
    mode: Mode
    times: Times | None = None
    refused: str = ""
    gate: Gate | None = None
    peak_share: float | None = None

    def __post_init__(self) -> None:
        red = self.gate is not None and not self.gate.green
        if self.times is not None and (self.refused or red or self.gate is None):
            raise ValueError(f"times: {self.rule} has no green gate, so it has no time.")

    @property
    def path(self) -> str:
        """recurrent, or chunked and triton with what is around them."""
        if self.lowering == "recurrent":
            return self.lowering
        return f"{self.lowering} {'compiled' if self.compiled else 'eager'}"

    @property
    def tokens_per_s(self) -> float | None:
        return None if self.times is None else self.shape.tokens / self.times.median * 1e3

    @property
    def said(self) -> str:
        """Why there is no time; empty where there is one."""
        if self.refused:
            return f"refused: {self.refused}"
        return f"FAIL: {self.gate.reason}" if self.gate is not None and self.gate.reason else ""

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        found = asdict(self)
        return found | {"path": self.path, "tokens_per_s": self.tokens_per_s, "said": self.said}
