"""How deep in how long a text something is still found: scores named `.../solved@LENGTH/dDEPTH`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from playground.report import text
from playground.report.draw import PAPER, Palette, style
from playground.report.sweep import Sweep, Variant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 9  # variants in one figure, the first
COLUMNS = 3  # panels side by side
_NAME = re.compile(r"test/solved@(\d+)/d(\d+)")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Scores by length and depth.

    Attributes:
        lengths: tokens, ascending.
        depths: percent of the text before what is to be found, ascending.
        share: [depths, lengths] fraction that was found; NaN where there is no score.
    """

    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    share: NDArray[np.float64]


def grid_of(metrics: Mapping[str, float]) -> Grid | None:
    """The grid that flat scores hold; None if they hold none."""
    found = {
        (int(match[1]), int(match[2])): value
        for name, value in metrics.items()
        if (match := _NAME.fullmatch(name))
    }
    if not found:
        return None
    lengths = tuple(sorted({length for length, _ in found}))
    depths = tuple(sorted({depth for _, depth in found}))
    share = [[found.get((length, depth), np.nan) for length in lengths] for depth in depths]
    return Grid(lengths=lengths, depths=depths, share=np.array(share))


def mean_grid(variant: Variant) -> Grid | None:
    """The mean over the variant's seeds of every score that all of its runs have."""
    runs = [run.metrics for run in variant.runs if run.status == "ok"]
    names = set.intersection(*(set(metrics) for metrics in runs)) if runs else set[str]()
    means = {name: [*variant.values(name).values()] for name in names}
    return grid_of({name: float(np.mean(found)) for name, found in means.items() if found})


def heatmaps(sweep: Sweep, palette: Palette = PAPER) -> "Figure | None":
    """One panel per variant: depth over length, the fraction found in each cell; or None."""
    found = {v.name: mean_grid(v) for v in sweep.foremost(MOST)}
    grids = {name: grid for name, grid in found.items() if grid is not None}
    return draw(grids, palette) if grids else None


def draw(grids: Mapping[str, Grid], palette: Palette = PAPER) -> "Figure":
    """Panels of grids by name."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(grids))
    rows = -(-len(grids) // columns)
    with style(palette):
        figure = Figure(figsize=(0.6 + 2.6 * columns, 0.5 + 2.1 * rows), layout="constrained")
        for number, (name, grid) in enumerate(grids.items(), start=1):
            axes = figure.add_subplot(rows, columns, number)
            axes.imshow(grid.share, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto", alpha=0.7)
            axes.grid(visible=False)
            axes.set_title(name, fontsize="small")
            axes.set_xticks(range(len(grid.lengths)), [text.length(n) for n in grid.lengths])
            axes.set_yticks(range(len(grid.depths)), [f"{d} %" for d in grid.depths])
            for (row, column), share in np.ndenumerate(grid.share):
                if np.isfinite(share):
                    axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center")
        figure.supxlabel("tokens", color=palette.muted)
        figure.supylabel("depth", color=palette.muted)
    return figure
