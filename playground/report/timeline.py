"""When every run of a sweep was carried out, and beside which others."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from playground.report.draw import PAPER, WIDTH, Palette, color_of, frame, style
from playground.report.sweep import Run, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_RUNS = 1000  # more would be a stroke
IDLE = 0.05  # a pause longer than this part of the busy time is cut short
KEPT = 0.02  # to this part
HIGH = 0.8  # of a lane


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A program: runs that began together, with the lane it is drawn in; seconds."""

    runs: tuple[Run, ...]
    begin: float
    end: float
    lane: int = 0


def bars(runs: Sequence[Run]) -> list[Bar]:
    """The programs of these runs by their beginning, each in the first lane that is free."""
    together: dict[float, list[Run]] = defaultdict(list)
    for run in runs:
        if run.began and run.ended:
            together[run.began].append(run)
    found: list[Bar] = []
    free: list[float] = []  # when the last program of a lane ended
    for began in sorted(together):
        some = together[began]
        end = max(run.ended or began for run in some)
        lane = next((i for i, at in enumerate(free) if at <= began), len(free))
        free[lane : lane + 1] = [end]
        found.append(Bar(runs=tuple(some), begin=began, end=end, lane=lane))
    return found


def without_pauses(found: Sequence[Bar]) -> tuple[list[Bar], list[tuple[float, float]]]:
    """The bars from 0 on with long pauses cut short; where that was, and how long it lasted."""
    spans: list[list[float]] = []
    for bar in sorted(found, key=lambda bar: bar.begin):
        if spans and bar.begin <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], bar.end)
        else:
            spans.append([bar.begin, bar.end])
    busy = sum(end - begin for begin, end in spans)
    shift, cuts, moved = spans[0][0], list[tuple[float, float]](), {spans[0][0]: spans[0][0]}
    for (_, end), (begin, _) in pairwise(spans):
        pause = begin - end
        if pause > IDLE * busy:
            cuts.append((end - shift + KEPT * busy / 2, pause))
            shift += pause - KEPT * busy
        moved[begin] = shift
    starts = [begin for begin, _ in spans]
    shifts = [moved[max(s for s in starts if s <= bar.begin)] for bar in found]
    return [
        Bar(runs=bar.runs, begin=bar.begin - by, end=bar.end - by, lane=bar.lane)
        for bar, by in zip(found, shifts, strict=True)
    ], cuts


def timeline(sweep: Sweep, palette: Palette = PAPER) -> "Figure | None":
    """A bar per program, a stripe in it per run; fainter: tuning. None for none, or too many."""
    tuning = [run for found in sweep.tuned.values() for run in found.runs]
    runs = [*tuning, *sweep.runs()]
    found = bars(runs) if len(runs) <= MAX_RUNS else []
    if not found:
        return None
    shown, cuts = without_pauses(found)
    lanes = 1 + max(bar.lane for bar in shown)
    unit, name = (60.0, "minutes") if max(bar.end for bar in shown) > 180 else (1.0, "seconds")
    colors = {v.name: color_of(i, palette) for i, v in enumerate(sweep.variants)}
    faint = {id(run) for run in tuning}
    with style(palette):
        figure, axes = frame(WIDTH, 1.0 + 0.45 * lanes + 0.2 * -(-len(colors) // 3))
        for bar in shown:
            _draw(axes, bar, unit, colors, faint)
        for at, pause in cuts:
            axes.axvline(at / unit, color=palette.muted, lw=1, ls=(0, (2, 3)))
            axes.annotate(
                f"{_duration(pause)} later",
                (at / unit, -0.6),
                (4, 0),
                textcoords="offset points",
                color=palette.muted,
                va="center",
            )
        axes.set_ylim(lanes - 0.45, -0.75 if cuts else -0.55)
        axes.set_yticks(range(lanes), [str(lane + 1) for lane in range(lanes)])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(name)
        axes.set_title("programs side by side", loc="left", color=palette.muted)
        drawn = {run.variant for bar in shown for run in bar.runs}
        for variant, color in colors.items():
            if variant in drawn:
                axes.plot([], [], "s", color=color, label=variant)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _draw(axes: "Axes", bar: Bar, unit: float, colors: dict[str, str], faint: set[int]) -> None:
    height = HIGH / len(bar.runs)
    for number, run in enumerate(bar.runs):
        axes.barh(
            bar.lane - HIGH / 2 + (number + 0.5) * height,
            (bar.end - bar.begin) / unit,
            left=bar.begin / unit,
            height=0.92 * height,
            color=colors[run.variant],
            alpha=0.4 if id(run) in faint else 0.95,
            linewidth=0,
        )
        if run.status == "failed":
            middle = bar.lane - HIGH / 2 + (number + 0.5) * height
            axes.plot(bar.end / unit, middle, "x", color=axes.xaxis.label.get_color(), ms=5)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
