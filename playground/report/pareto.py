"""Quality against what it costs: which of several models no other beats on every side."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from playground.report import text
from playground.report.draw import PAPER, WIDTH, Palette, color_of, frame, style
from playground.report.places import family, of_a_grid
from playground.report.stats import direction, interval, summarize
from playground.report.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPEED, WORK, STATE = "tokens_per_s", "flops_per_token", "state_bytes"
TITLES = {
    SPEED: "tokens per second",
    WORK: "FLOPs per token, forward",
    STATE: "bytes of state that one sequence carries",
}
ACROSS = (5.0, 13.0)  # points across, of the smallest and the largest state
MOST = 60  # places of one figure
ASIDE = 1.025  # from one place to the next, of those whose cost is the same
FEW = 3  # seeds; of fewer an interval says nothing


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a model stands.

    Attributes:
        label: in the legend; places of one label share it.
        scores: seed -> quality.
        cost: the same quantity for all places of a figure.
        state: bytes that one sequence carries.
        front: whether no other place is at least as good on every side.
    """

    label: str
    scores: Mapping[int, float]
    cost: float
    state: float
    color: str
    front: bool


def undominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Which points no other beats: nowhere larger, and somewhere smaller."""
    return [
        not any(
            all(a <= b for a, b in zip(other, one, strict=True)) and tuple(other) != tuple(one)
            for other in points
        )
        for one in points
    ]


def places(sweep: Sweep, palette: Palette) -> tuple[str, list[Place]]:
    """The cost that is asked for or that all have, and where each variant stands."""
    names = [variant.name for variant in sweep.variants]
    shown = [v for v in sweep.foremost(MOST) if v.values(sweep.primary)]
    cost = SPEED if all(v.values(SPEED) for v in shown) else WORK
    cost = cost if sweep.x == "auto" else sweep.x
    costs = {
        v.name: _mean(v.values(SPEED).values()) if cost == SPEED else _or_nan(v.cost(cost))
        for v in shown
    }
    states = {v.name: _or_nan(v.cost("state_bytes")) for v in shown}
    shown = [v for v in shown if costs[v.name] > 0 and not math.isnan(states[v.name])]
    families = [*dict.fromkeys(family(name, names) for name in names)]
    quality, less = -direction(sweep.primary), -1 if cost == SPEED else 1
    points = [
        (quality * _mean(v.values(sweep.primary).values()), less * costs[v.name], states[v.name])
        for v in shown
    ]
    return cost, [
        Place(
            label=family(v.name, names)
            if of_a_grid(names)
            else _with_state(v.name, states[v.name]),
            scores=v.values(sweep.primary),
            cost=costs[v.name],
            state=states[v.name],
            color=color_of(families.index(family(v.name, names)), palette),
            front=front,
        )
        for v, front in zip(shown, undominated(points), strict=True)
    ]


def _with_state(name: str, state: float) -> str:
    return f"{name} ({text.memory(state)})"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Iterable[float]) -> float:
    found = summarize(values)
    return math.nan if found is None else found.mean


def pareto(sweep: Sweep, palette: Palette = PAPER) -> "Figure | None":
    """The primary metric of every variant over what it costs.

    None for fewer than two, or where nobody said whether much of the metric is good.
    """
    if direction(sweep.primary) == 0:
        return None
    cost, found = places(sweep, palette)
    lines = of_a_grid([variant.name for variant in sweep.variants])
    return scatter(found, cost, sweep.primary, palette, lines=lines) if len(found) > 1 else None


def scatter(
    found: Sequence[Place], cost: str, metric: str, palette: Palette, *, lines: bool = False
) -> "Figure":
    """Means with their 95 % intervals over a cost, a name of TITLES; the larger the dot the larger
    the state; a ring: front; lines: through the places of one label. Intervals are cut at the edge;
    of two seeds there is a line from one to the other. Places of one cost stand side by side where
    there are lines.
    """
    from matplotlib.ticker import FuncFormatter

    found = _side_by_side(found) if lines else found
    labels = [place.label for place in found]
    first = [label not in labels[:i] for i, label in enumerate(labels)]
    with style(palette):
        figure, axes = frame(WIDTH, 3.3 + 0.2 * -(-sum(first) // 2))
        states = [place.state for place in found]
        for place, new in zip(found, first, strict=True):
            _dot(axes, place, _size(place.state, states), palette, place.label if new else None)
        for label in dict.fromkeys(labels) if lines else ():
            mine = sorted((one for one in found if one.label == label), key=lambda one: one.cost)
            means = [_mean(one.scores.values()) for one in mine]
            axes.plot([one.cost for one in mine], means, color=mine[0].color, lw=1, zorder=2)
        costs = [place.cost for place in found]
        if max(costs) > 4 * min(costs) > 0:
            axes.set_xscale("log", base=2 if cost == STATE else 10)
        _span(axes, [score for place in found for score in place.scores.values()])
        shown = text.memory if cost == STATE else text.count
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
        axes.set_xlabel(TITLES[cost])
        axes.set_title(metric, loc="left", color=palette.muted)
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=2, markerscale=0.8)
    return figure


def _side_by_side(found: Sequence[Place]) -> list[Place]:
    """The same places; those of one cost a little apart."""
    alike: dict[float, list[str]] = {}
    for one in found:
        alike.setdefault(one.cost, []).append(one.label)
    return [
        replace(one, cost=one.cost * ASIDE ** (names.index(one.label) - (len(names) - 1) / 2))
        for one in found
        for names in [alike[one.cost]]
    ]


def _span(axes: "Axes", scores: Sequence[float]) -> None:
    """Up and down as far as runs are; an interval of two runs may go a hundred times as far."""
    low, high = min(scores), max(scores)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _dot(axes: "Axes", place: Place, size: float, palette: Palette, label: str | None) -> None:
    """Mean, interval and ring of one place."""
    spread = interval(place.scores)
    assert spread is not None
    axes.plot(place.cost, spread.mean, "o", color=place.color, ms=size, mew=0, label=label)
    ends = [min(place.scores.values()), max(place.scores.values())]
    if len(place.scores) >= FEW and spread.low is not None and spread.high is not None:
        ends = [spread.low, spread.high]
    if ends[0] < ends[1]:
        axes.plot([place.cost, place.cost], ends, color=place.color, lw=1.5)
    if place.front:
        ring = {"mfc": "none", "color": palette.ink, "ms": size + 6}
        axes.plot(place.cost, spread.mean, "o", **ring)


def _size(state: float, states: Sequence[float]) -> float:
    """By the logarithm of the state, from ACROSS[0] to ACROSS[1]."""
    low, high = (math.log1p(end) for end in (min(states), max(states)))
    part = (math.log1p(state) - low) / (high - low) if high > low else 0.5
    return ACROSS[0] + part * (ACROSS[1] - ACROSS[0])
