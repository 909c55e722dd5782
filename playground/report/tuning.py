"""What tuning tried and chose: as lines, and as a figure for every key with a scale."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from playground.report import text
from playground.report.draw import PAPER, WIDTH, Palette, color_of, frame, style
from playground.report.stats import direction
from playground.report.sweep import Sweep, Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tuning_lines(sweep: Sweep) -> list[str]:
    """One line per variant: what was chosen, out of what."""
    return [f"{name}: {_line(found, sweep.select)}" for name, found in sweep.tuned.items()]


def _line(found: Tuned, select: str) -> str:
    scores = (_point(values, score) for values, score in found.points)
    tried = f"{select} by value: {'; '.join(scores)}"
    tried += f". Failed: {'; '.join(found.failed)}" if found.failed else ""
    if found.chosen is None:
        return f"not finished. {tried}"
    if not found.chosen:
        return f"no value finished, so it runs as it is written. {tried}"
    edge = f", the edge of {', '.join(found.edges)}" if found.edges else ""
    return f"{text.plain(found.chosen)}{edge}. {tried}"


def _point(values: Mapping[str, Any], score: float | None) -> str:
    shown = ", ".join(text.plain(value) for value in values.values())
    return f"{shown} {'failed or open' if score is None else text.number(score)}"


def scales(sweep: Sweep) -> list[str]:
    """The tuned keys whose values are numbers, two or more."""
    found: dict[str, set[float]] = {}
    for tuned in sweep.tuned.values():
        for values, _ in tuned.points:
            for key, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found.setdefault(key, set()).add(value)
    return [key for key, values in found.items() if len(values) > 1]


def sensitivity(sweep: Sweep, key: str, palette: Palette = PAPER) -> "Figure | None":
    """The score over one tuned value, a line per variant; None before anything finished.

    With several keys a line goes through the best score at each value of this one.
    """
    names = [variant.name for variant in sweep.variants]
    lines = {name: _best_by(found, key, sweep.select) for name, found in sweep.tuned.items()}
    if not any(lines.values()):
        return None
    with style(palette):
        figure, axes = frame(WIDTH, 3.3 + 0.2 * -(-len(lines) // 3))
        for name, line in lines.items():
            color = color_of(names.index(name), palette)
            axes.plot([x for x, _ in line], [y for _, y in line], ".-", color=color, label=name)
            chosen = (sweep.tuned[name].chosen or {}).get(key)
            for x, y in line:
                if x == chosen:
                    axes.plot(x, y, "o", ms=9, mfc="none", color=color)
        values = [x for line in lines.values() for x, _ in line]
        if min(values) > 0 and max(values) >= 4 * min(values):
            axes.set_xscale("log")
        axes.set_xlabel(key)
        axes.set_title(sweep.select, loc="left", color=palette.muted)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _best_by(found: Tuned, key: str, metric: str) -> list[tuple[float, float]]:
    """(value, best score there), by value."""
    pick = max if direction(metric) > 0 else min
    scores: dict[float, list[float]] = {}
    for values, score in found.points:
        if score is not None and key in values:
            scores.setdefault(values[key], []).append(score)
    return [(value, pick(scores[value])) for value in sorted(scores)]
