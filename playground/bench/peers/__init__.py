"""Other projects' programs beside ours: always labelled, never an oracle (the extra `peers`)."""

from collections.abc import Callable, Mapping, Sequence

from playground.bench.cell import Cell
from playground.bench.peers import attention, fla, titans
from playground.bench.rules import RuleWork

PEERS: Mapping[str, Callable[[RuleWork], Sequence[Cell]]] = {
    "titans-pytorch": titans.cells,
    "fla": fla.cells,
    "sdpa": attention.sdpa_cells,
    "flex": attention.flex_cells,
    "xformers": attention.xformers_cells,
}


def peer_cells(names: Sequence[str], work: RuleWork) -> tuple[Cell, ...]:
    """The cells of these peers beside a rule; one that has nothing to compare has none.

    Args:
        names: keys of PEERS.
        work: the rule, shape and mode they are put beside.
    """
    return tuple(cell for name in names for cell in PEERS[name](work))
