"""Figures of a bench: where its rows lie under the roof of the machine, and speed over length."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from playground.report.benched import BenchRow
from playground.report.draw import PAPER, WIDTH, Palette, color_of, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {"forward": "o", "forward_backward": "s", "train_step": "D", "prefill": "^", "decode": "v"}
SMALL = 7  # points of the names beside marks
Line = tuple[str, str, str, str, str]  # what, mode, path, sizes without length, gates


def figure(rows: Sequence[BenchRow], palette: Palette = PAPER) -> "Figure | None":
    """A roofline, and throughput against length where lengths differ; None without times.

    Colours are paths, marks are modes; the fastest mark of a work has its name beside it.
    """
    from matplotlib.figure import Figure

    timed = [row for row in rows if row["times"] is not None]
    under = [row for row in timed if row["flops_share"] and row["bytes_share"]]
    lines = by_length(timed)
    if not under and not lines:
        return None
    count = bool(under) + bool(lines)
    with style(palette):
        shown = Figure(figsize=(1.4 * WIDTH, 4.2 * count + 1.0), layout="constrained")
        parts = shown.subplots(count, squeeze=False)[:, 0]
        paths = list(dict.fromkeys(row["path"] for row in timed))
        colors = {path: color_of(i, palette) for i, path in enumerate(paths)}
        modes = list(dict.fromkeys(row["mode"] for row in timed))
        if under:
            _roofline(parts[0], under, colors, palette)
        if lines:
            _lengths(parts[-1], lines, colors, palette)
        for path, color in colors.items():
            parts[0].plot([], [], "s", color=color, label=path)
        for mode in modes:
            parts[0].plot([], [], MARKS[mode], color=palette.muted, label=mode)
        shown.legend(*parts[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return shown


def _name(axes: "Axes", text: str, at: tuple[float, float], palette: Palette) -> None:
    axes.annotate(
        text,
        at,
        (5, 3),
        textcoords="offset points",
        fontsize=SMALL,
        color=palette.muted,
    )


def _roofline(
    axes: "Axes",
    rows: Sequence[BenchRow],
    colors: dict[str, str],
    palette: Palette,
) -> None:
    points = [(row["cost"]["flops"] / row["cost"]["bytes"], row) for row in rows]
    low, high = min(x for x, _ in points) / 4, max(x for x, _ in points) * 4
    for dtype in dict.fromkeys(row["shape"]["dtype"] for row in rows):
        peak = rows[0]["stamp"]["peaks"][dtype]
        top, slope = peak["flops_per_s"], peak["bytes_per_s"]
        knee = top / slope
        ends = sorted({min(low, knee / 4), knee, max(high, 4 * knee)})
        axes.plot(ends, [min(top, slope * x) for x in ends], color=palette.muted, lw=1.2)
        axes.annotate(
            f"{dtype}: matmul {top / 1e9:,.0f} GFLOP/s, copy {slope / 1e9:,.0f} GB/s",
            (ends[-1], top),
            (0, 3),
            textcoords="offset points",
            ha="right",
            color=palette.muted,
        )
    fastest: dict[tuple[str, float], float] = {}
    for x, row in points:
        y = row["cost"]["flops"] / row["times"]["median"] * 1e3
        axes.plot(x, y, MARKS[row["mode"]], color=colors[row["path"]], ms=6)
        fastest[row["what"], x] = max(y, fastest.get((row["what"], x), 0.0))
    for (what, x), y in fastest.items():
        _name(axes, what, (x, y), palette)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOPs per byte that must move")
    axes.set_ylabel("FLOP/s")
    axes.set_title("under the measured roof", loc="left", color=palette.muted)


def by_length(rows: Sequence[BenchRow]) -> dict[Line, list[tuple[int, float]]]:
    """(tokens of a call, tokens per second) of rows that differ in their length alone."""
    found: dict[Line, list[tuple[int, float]]] = {}
    for row in rows:
        s = row["shape"]
        sizes = f"B{s['batch']}-H{s['heads']}-D{s['width']}-{s['dtype']}"
        line = (row["what"], row["mode"], row["path"], sizes, row["scale"])
        found.setdefault(line, []).append((s["length"], row["tokens_per_s"]))
    return {line: sorted(points) for line, points in found.items() if len(points) > 1}


def _lengths(
    axes: "Axes",
    lines: dict[Line, list[tuple[int, float]]],
    colors: dict[str, str],
    palette: Palette,
) -> None:
    for (what, mode, path, _, _), points in lines.items():
        axes.plot(*zip(*points, strict=True), marker=MARKS[mode], color=colors[path], lw=1.4, ms=5)
        _name(axes, what, points[-1], palette)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("tokens of a call")
    axes.set_ylabel("tokens per second")
    axes.set_title("throughput against length", loc="left", color=palette.muted)
