"""The figure of a long evaluation: speed and peak memory against length, loss by position."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from playground.report import text
from playground.report.draw import SERIES, WIDTH, Palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = 7  # of lengths: more would touch each other
_BUCKET = re.compile(r"loss@(\d+)-(\d+)")


def by_position(scores: Mapping[str, float]) -> list[tuple[int, int, float]]:
    """The buckets (first place, place after the last, nats per token) among scores, ascending."""
    found = [(_BUCKET.fullmatch(name), value) for name, value in scores.items()]
    return sorted((int(m[1]), int(m[2]), value) for m, value in found if m is not None)


def figure(
    marks: Sequence[Mapping[str, float]], scores: Mapping[str, float], palette: Palette
) -> "Figure | None":
    """One panel for each of speed, peak memory and loss by position that there is; None for none.

    Args:
        marks: mappings with tokens, tokens_per_s and peak_bytes.
        scores: of the evaluation.
        palette: colours.
    """
    from matplotlib.figure import Figure

    panels: list[Callable[[Axes], None]] = []
    if marks:
        at = [mark["tokens"] for mark in marks]
        speed = [mark["tokens_per_s"] for mark in marks]
        peak = [mark["peak_bytes"] / 2**20 for mark in marks]
        panels.append(lambda axes: _curve(axes, at, speed, "tokens/s", palette, SERIES[1]))
        panels.append(lambda axes: _curve(axes, at, peak, "peak memory, MiB", palette, SERIES[0]))
    if buckets := by_position(scores):
        ends = [end for _, end, _ in buckets]
        losses = [loss for _, _, loss in buckets]
        panels.append(
            lambda axes: _curve(
                axes, ends, losses, "nats per token", palette, SERIES[2], zero=False
            )
        )
    if not panels:
        return None
    with style(palette):
        drawn = Figure(figsize=(WIDTH, 2.0 * len(panels)), layout="constrained")
        every = drawn.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            panel(axes)
        every[-1].set_xlabel("tokens of the stream")
    return drawn


def _ticks(lengths: Sequence[float]) -> list[float]:
    """At most TICKS of them, evenly; always the last."""
    step = -(-len(lengths) // TICKS)
    return list(lengths[::-1][::step])


def _curve(
    axes: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    label: str,
    palette: Palette,
    color: str,
    *,
    zero: bool = True,
) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.plot(x, y, "o-", color=color, lw=1.6, ms=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(_ticks(x))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.length(value)))
    axes.set_title(label, loc="left", color=palette.muted)
    if zero:
        axes.set_ylim(0, 1.15 * max(y))
