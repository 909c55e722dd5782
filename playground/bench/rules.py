"""Rules by themselves: groups of shapes, gates and modes, a cell for every path."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from memory_rules import AbstractMemoryRule, Scan
from playground.bench.cell import Cell, Group, Prepared
from playground.bench.gate import check_scan
from playground.bench.inputs import DTYPES, GateScale, Shape, make_problem
from playground.bench.row import Cost
from playground.bench.work import Mode, at_precision, one_by_one, with_context, work
from playground.compile import LOWERINGS, Lowering, Target, classify
from playground.compile.rule_flops import rule_flops

# path -> (lowering, whether its bodies go through torch.compile)
PATHS: Mapping[str, tuple[str, bool]] = {
    "recurrent": ("recurrent", False),
    "eager": ("chunked", False),
    "compiled": ("chunked", True),
    "triton": ("triton", True),
}
BACKWARD = 3.0  # times a forward pass: forward and backward, by the usual count


@dataclass(frozen=True, kw_only=True)
class RuleWork:
    """One rule at one shape, mode and scale of gates.

    tolerance: the largest relative error; None for a multiple of the recurrence's own.
    """

    rule: AbstractMemoryRule
    name: str
    shape: Shape
    mode: Mode
    scale: GateScale = "default"
    device: str = "cpu"
    tolerance: float | None = None

    def group(self, paths: tuple[str, ...], peers: tuple[Cell, ...] = ()) -> Group:
        """The group of these paths, and of peers."""
        return Group(
            kind="rule",
            what=self.name,
            rule_class=classify(self.rule)[0],
            mode=self.mode,
            shape=self.shape,
            scale=self.scale,
            cost=self.cost(),
            cells=(*(self.cell(path) for path in paths), *peers),
        )

    def cell(self, path: str) -> Cell:
        """The cell of one path."""
        name, compiled = PATHS[path]
        (lowering,) = (low for low in LOWERINGS if low.name == name)
        target = Target.of(self.device, compile=compiled)
        refused = interpreted(name) or lowering.refuses(self.rule, target)
        return Cell(path=path, refused=refused, prepare=self._binder(lowering, compiled))

    def _binder(self, lowering: Lowering, compiled: bool) -> Callable[[], Prepared]:
        def prepare() -> Prepared:
            form = f"{lowering.name} {'compiled' if compiled else 'eager'}"
            ran = lowering.name if lowering.name == "recurrent" else form
            return self.prepared(lowering.bind(self.rule, compiled), ran, compiled)

        return prepare

    def prepared(self, scan: Scan, ran: str, compiled: bool) -> Prepared:
        """A scan that computes the rule, ready to be timed and checked."""
        length = with_context(self.shape.length, self.mode)
        problem = make_problem(
            self.rule, replace(self.shape, length=length), scale=self.scale, device=self.device
        )
        checked = one_by_one(scan) if self.mode == "decode" else scan

        def check():
            """The gate of this scan."""
            return check_scan(
                self.rule,
                checked,
                self.shape,
                scale=self.scale,
                device=self.device,
                gradients=self.mode == "forward_backward",
                tolerance=self.tolerance,
            )

        timed = at_precision(scan, DTYPES[self.shape.dtype], self.device)
        run = work(self.mode, timed, problem)
        return Prepared(run=run, check=check, ran=lambda: {"scan": ran}, compiled=compiled)

    def cost(self) -> Cost:
        """FLOPs of the chunked form, and the bytes that every form reads and writes."""
        moved = self._bytes()
        if self.mode == "decode":
            return Cost(flops=flops_of(self.rule, "recurrent", self._step()), bytes=moved)
        times = BACKWARD if self.mode == "forward_backward" else 1.0
        return Cost(flops=times * flops_of(self.rule, "chunked", self.shape), bytes=moved)

    def _step(self) -> Shape:
        return replace(self.shape, length=1)

    def _bytes(self) -> float:
        """Inputs read and outputs written; with gradients both again, and those written too."""
        one = make_problem(self.rule, self._step())
        inputs = {n: _size(t) for n, t in one.leaves().items()}
        fixed = sum(size for n, size in inputs.items() if n.startswith(("weights.", "slow.")))
        tokens, outputs = sum(inputs.values()) - fixed, _size(one.inputs.v)
        if self.mode == "decode":
            state = one.state()
            carried = sum(
                _size(t) for part in (state.memory, state.momentum) for t in part.values()
            )
            return tokens + outputs + 2.0 * carried
        length = self.shape.length
        if self.mode == "forward":
            return length * (tokens + outputs) + fixed
        return length * (3.0 * tokens + 2.0 * outputs) + 3.0 * fixed


def _size(tensor: torch.Tensor) -> float:
    return float(tensor.numel() * tensor.element_size())


def interpreted(lowering: str) -> str:
    asked = lowering == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    return "runs in Triton's interpreter, whose times mean nothing" if asked else ""


def flops_of(rule: AbstractMemoryRule, lowering: str, shape: Shape) -> float:
    """FLOPs of one forward call over a shape."""
    parts = rule_flops(rule, shape.width, lowering=lowering, length=shape.length)
    return sum(parts.values()) * shape.heads * shape.tokens
