"""What peers share: whether they are installed, and how a missing one is a reason."""

from importlib.util import find_spec

from playground.bench.cell import Cell, Prepared
from playground.errors import LoweringError


def missing(package: str, extra: str = "peers") -> str:
    """Why a package cannot be used; empty if it is installed."""
    if find_spec(package) is not None:
        return ""
    return f"{package} is not installed: pip install 'test-time-playground[{extra}]'"


def refused_cell(path: str, reason: str) -> Cell:
    """A cell that only says why it cannot run."""

    def prepare() -> Prepared:
        raise LoweringError(path, reason)

    return Cell(path=path, refused=reason, prepare=prepare)
