"""The figures of the page of results, drawn from its records alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from playground.report.depths import draw, mean_grid
from playground.report.draw import PAPER
from playground.report.page import Drawn, Experiment, Page
from playground.report.pareto import pareto
from playground.report.records import Record, run_of, sweep_of
from playground.report.streams import figure
from playground.report.sweep import Variant

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures_of(page: Page, records: Mapping[str, Record]) -> "dict[str, Figure]":
    """Figures by the name of their file; those that cannot be drawn yet are left out."""
    return {
        name: drawn
        for section in page.sections
        for name, one in section.figures.items()
        if (drawn := _figure(one, records, section.experiments)) is not None
    }


def _figure(
    one: Drawn, records: Mapping[str, Record], named: Mapping[str, Experiment]
) -> "Figure | None":
    if one.kind == "depths":
        return _depths(one, records, named)
    (record,) = (records.get(name) for name in one.of)
    if record is None:
        return None
    if one.kind == "stream":
        return figure(record.rows, {}, PAPER)
    return pareto(sweep_of(record), PAPER) if record.sweep else None


def _depths(
    one: Drawn, records: Mapping[str, Record], named: Mapping[str, Experiment]
) -> "Figure | None":
    """A panel for each experiment that has a record."""
    found = {}
    for name in one.of:
        runs = tuple(run_of(run) for run in records[name].runs) if name in records else ()
        grid = mean_grid(Variant(name=name, overrides={}, runs=runs))
        if grid is not None:
            found[named[name].title or name] = grid
    return draw(found, PAPER) if found else None
