"""The figures of the page of results, drawn from its records alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from playground.report.depths import draw, mean_grid
from playground.report.draw import PAPER
from playground.report.load import Variant
from playground.report.page import Drawn, Page
from playground.report.pareto import pareto
from playground.report.records import Record, run_of, sweep_of
from playground.report.streams import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures_of(page: Page, records: Mapping[str, Record]) -> "dict[str, Figure]":
    """Figures by the name of their file; those whose records are not there are left out."""
    return {
        name: drawn
        for section in page.sections
        for name, one in section.figures.items()
        if (drawn := _figure(one, records)) is not None
    }


def drawable(one: Drawn, records: Mapping[str, Record]) -> bool:
    """Whether there is something to draw: all of one experiment, or some of several."""
    return any(name in records for name in one.of)


def _figure(one: Drawn, records: Mapping[str, Record]) -> "Figure | None":
    if not drawable(one, records):
        return None
    if one.kind == "depths":
        return _depths(one, records)
    record = records[one.of[0]]
    if one.kind == "stream":
        return figure(record.rows, {}, PAPER)
    return pareto(sweep_of(record), PAPER)


def _depths(one: Drawn, records: Mapping[str, Record]) -> "Figure | None":
    """A panel for each experiment that has a record."""
    found = {}
    for name in one.of:
        runs = tuple(run_of(run) for run in records[name].runs) if name in records else ()
        grid = mean_grid(Variant(name=name, overrides={}, runs=runs))
        if grid is not None:
            found[name] = grid
    return draw(found, PAPER) if found else None
