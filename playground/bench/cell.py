"""What a bench compares: groups of cells, each a path that does the same work, or says why not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from playground.bench.gate import Gate
from playground.bench.inputs import GateScale, Shape
from playground.bench.row import Cost, Kind
from playground.bench.work import STEPS, Mode

NO_COST = Cost(flops=None, bytes=None)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A cell that is ready to run.

    run: what is timed, without arguments; gives what can be looked at.
    check: holds it to the recurrence; None for other mathematics.
    ran: after a call, which form ran in which part.
    compiled: whether a first call makes programs.
    """

    run: Callable[[], object]
    check: Callable[[], Gate] | None
    ran: Callable[[], Mapping[str, str]]
    compiled: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A path of a group.

    path: its name; prepare: makes it ready (may raise LoweringError, which is a reason too);
    lowering: that it asks for; refused: why it cannot run; other: of a peer, how its mathematics
    differs.
    """

    path: str
    prepare: Callable[[], Prepared]
    lowering: str = ""
    refused: str = ""
    other: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that are compared: the same work on every path; their calls take turns."""

    kind: Kind
    what: str
    mode: Mode
    shape: Shape
    cells: tuple[Cell, ...]
    rule_class: str = ""
    scale: GateScale = "default"
    cost: Cost = field(default=NO_COST)

    @property
    def steps(self) -> int:
        """Equal steps of a call: tokens that are decoded one after another."""
        return STEPS if self.mode == "decode" else 1

    @property
    def tokens(self) -> int:
        """Of one step, all sequences together."""
        return self.shape.batch if self.mode == "decode" else self.shape.tokens

    def __str__(self) -> str:
        scale = "" if self.kind == "model" else f" gates {self.scale}"
        return f"{self.what} {self.mode} {self.shape}{scale}"
