"""Figures: learning curves with bands, and paired differences with intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from playground.report import text
from playground.report.draw import PAPER, SERIES, WIDTH, Palette, color_of, frame, line_at, style
from playground.report.stats import Paired, Verdict, base_metric, direction
from playground.report.sweep import Run, Sweep, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
# What can be told apart in one figure; a report says where it leaves something out.
MAX_POINTS = 200  # of one curve
MAX_RUNS = 64  # of one variant, the first
MAX_CURVES = 12  # more are not told apart by eight colours
MAX_ROWS = 60  # variants with a paired difference


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Mean over seeds; `sd` is 0 with one seed. `x` counts tokens, or steps."""

    x: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def curve_metric(sweep: Sweep) -> str:
    """The validation metric that belongs to the sweep's first metric.

    Of "test/loss@chunk_size=8" it is the loss, if no evaluation on val was under that too.
    """
    name = sweep.primary.partition("/")[2] or sweep.primary
    plain = base_metric(name)
    rows = (row for v in sweep.foremost(MAX_CURVES) for run in v.runs[:1] for row in run.curve)
    return name if name == plain or any(name in row for row in rows) else plain


def x_key(sweep: Sweep) -> str:
    """What curves are drawn over: tokens, if every row counts them and places cannot differ."""
    if len(sweep.places) > 1:
        return "step"
    runs = [run for variant in sweep.foremost(MAX_CURVES) for run in variant.runs[:MAX_RUNS]]
    rows = [row for run in runs for row in run.curve]
    return "tokens" if rows and all("tokens" in row for row in rows) else "step"


def run_curve(run: Run, metric: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The finite points of one run."""
    points = [(row[key], row[metric]) for row in run.curve if metric in row]
    found = np.array(points, dtype=float).reshape(-1, 2)
    found = found[np.isfinite(found).all(1)]
    return found[:, 0], found[:, 1]


def mean_curve(variant: Variant, metric: str, key: str) -> Curve | None:
    """Mean and sd over seeds at the points that every run that is ok has; None without any."""
    found = seed_curves(variant, metric, key)
    if found is None:
        return None
    x, values = found
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(x))
    return Curve(x=x, mean=values.mean(axis=0), sd=sd)


def seed_curves(variant: Variant, metric: str, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Points [N] and a curve for each seed [S, N]: its mean over places, if it has one at each."""
    runs = [(r.seed, *run_curve(r, metric, key)) for r in first_runs(variant) if r.status == "ok"]
    tables = [(s, dict(zip(x.tolist(), y.tolist(), strict=True))) for s, x, y in runs if len(x)]
    count = Counter(seed for seed, _ in tables)
    tables = [(seed, table) for seed, table in tables if count[seed] == len(variant.places)]
    shared = sorted(set.intersection(*(set(table) for _, table in tables))) if tables else []
    if not shared:
        return None
    keep = np.unique(np.linspace(0, len(shared) - 1, min(len(shared), MAX_POINTS)).astype(int))
    x = np.array(shared)[keep]
    by_seed: dict[int, list[list[float]]] = {}
    for seed, table in tables:
        by_seed.setdefault(seed, []).append([table[at] for at in x.tolist()])
    return x, np.array([np.mean(curves, axis=0) for curves in by_seed.values()])


def first_runs(variant: Variant) -> list[Run]:
    """Those of the first seeds, about MAX_RUNS, with all their places."""
    seeds = list(dict.fromkeys(run.seed for run in variant.runs))
    few = set(seeds[: max(1, MAX_RUNS // max(1, len(variant.places)))])
    return [run for run in variant.runs if run.seed in few]


def overview(sweep: Sweep, palette: Palette = PAPER) -> "Figure | None":
    """All variants in one frame, mean with a band of one sd; None if no run left a curve."""
    metric, key = curve_metric(sweep), x_key(sweep)
    found = {v.name: mean_curve(v, metric, key) for v in sweep.foremost(MAX_CURVES)}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if not curves:
        return None
    with style(palette):
        figure, axes = frame(WIDTH, 3.3 + 0.2 * -(-len(curves) // 3))
        for index, variant in enumerate(sweep.variants):  # one colour in all figures
            if variant.name in curves:
                _draw(axes, curves[variant.name], variant.name, sweep, index, palette)
        _finish(axes, sweep, list(curves.values()), palette)
        columns = 3 if max(map(len, curves)) < 16 else 2
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=columns)
    return figure


def against_baseline(sweep: Sweep, variant: Variant, palette: Palette = PAPER) -> "Figure | None":
    """One variant over what it is compared with, every run thin; None without any point."""
    metric, key = curve_metric(sweep), x_key(sweep)
    index = [v.name for v in sweep.variants].index(variant.name)
    runs = [(run, *run_curve(run, metric, key)) for run in first_runs(variant)]
    mine, base = (mean_curve(v, metric, key) for v in (variant, sweep.base_of(variant)))
    if not any(len(x) for _, x, _ in runs):
        return None
    with style(palette):
        figure, axes = frame(4.0, 2.7)
        if base is not None:
            _draw(axes, base, sweep.baseline, sweep, 0, palette)
        lines = [(x, y) for run, x, y in runs if run.status == "ok"]
        if len(variant.places) > 1:  # places are apart from each other, seeds are not
            means = seed_curves(variant, metric, key)
            lines = [] if means is None else [(means[0], values) for values in means[1]]
        axes.plot(
            *_as_one(lines),
            color=color_of(index, palette),
            lw=0.6,
            alpha=0.8,
        )
        for run, x, y in runs:
            if run.status != "ok" and len(x) and len(variant.places) == 1:
                axes.plot(x, y, color=palette.bad, lw=1, alpha=0.8)
                axes.plot(x[-1], y[-1], "x", color=palette.bad)
        if mine is not None:
            _draw(axes, mine, variant.name, sweep, index, palette)
        _finish(axes, sweep, [curve for curve in (base, mine) if curve is not None], palette)
    return figure


def _as_one(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> Sequence[np.ndarray]:
    """Many lines as one that breaks between them: far fewer things to draw."""
    gap = np.array([np.nan])
    return [np.concatenate([gap, *(p for line in lines for p in (line[i], gap))]) for i in (0, 1)]


def differences(sweep: Sweep, palette: Palette = PAPER) -> "Figure | None":
    """Paired difference of every variant with its 95 % interval and each seed's own."""
    others = [v for v in sweep.foremost(MAX_ROWS) if sweep.base_of(v) is not v]
    found = {v.name: sweep.difference(v) for v in others}
    verdicts: dict[str, Verdict] = {v.name: sweep.verdict(v) for v in others}
    known = {name: pair for name, pair in found.items() if pair is not None}
    if not known:
        return None
    names = sorted(known, key=lambda name: known[name].mean)
    names += [name for name in found if name not in known]
    with style(palette):
        figure, axes = frame(WIDTH, 0.8 + 0.32 * len(names))
        for row, name in enumerate(names):
            _dot(axes, row, known.get(name), verdicts[name], palette)
        axes.axvline(0, color=palette.ink, lw=1.2, zorder=1)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=palette.ink, labelsize=10)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{sweep.primary} minus that of {sweep.baseline}{sweep.where}")
    return figure


def _dot(axes: "Axes", row: int, pair: Paired | None, verdict: Verdict, palette: Palette) -> None:
    if pair is None:
        axes.annotate("no pairs", (0, row), (6, 0), textcoords="offset points", va="center")
        return
    color = {"better": palette.good, "worse": palette.bad, "unclear": palette.muted}[verdict]
    each = list(pair.each.values())
    if len(each) <= MAX_RUNS:  # more would be a stroke
        axes.plot(each, [row] * len(each), "o", color=color, ms=3.5, alpha=0.45, mew=0, zorder=2)
    if pair.low is not None and pair.high is not None:
        axes.plot([pair.low, pair.high], [row, row], color=color, lw=2, zorder=3)
    axes.plot(pair.mean, row, "o", color=color, ms=7, zorder=4)
    label = text.number(pair.mean, signed=True)
    axes.annotate(label, (1.01, row), xycoords=("axes fraction", "data"), va="center", color=color)


def _draw(
    axes: "Axes", curve: Curve, name: str, sweep: Sweep, index: int, palette: Palette
) -> None:
    is_base = name == sweep.baseline
    color = palette.ink if is_base else color_of(index, palette)
    dash = "-" if is_base else _DASHES[(index - 1) // len(SERIES) % len(_DASHES)]
    axes.plot(curve.x, curve.mean, color=color, lw=2.4 if is_base else 1.6, ls=dash, label=name)
    axes.fill_between(
        curve.x, curve.mean - curve.sd, curve.mean + curve.sd, color=color, alpha=0.15, lw=0
    )


def _finish(axes: "Axes", sweep: Sweep, curves: Sequence[Curve], palette: Palette) -> None:
    """Labels, the floor, and limits that show the end of training and not its first steps."""
    from matplotlib.ticker import FuncFormatter

    key, metric = x_key(sweep), curve_metric(sweep)
    axes.set_xlabel("training tokens" if key == "tokens" else "training steps")
    axes.set_title(f"validation {metric.replace('_', ' ')}", loc="left", color=palette.muted)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.count(value)))
    if not curves:
        return
    low = min(float((curve.mean - curve.sd).min()) for curve in curves)
    tails = [curve.mean[curve.x >= curve.x[0] + 0.15 * np.ptp(curve.x)] for curve in curves]
    tops = [float(tail.max()) for tail in tails]
    high = max(tops) if direction(metric) <= 0 else max(float(c.mean.max()) for c in curves)
    floor = sweep.floor if sweep.one_floor else None
    if floor is not None and metric == "loss" and low < floor[1] < high + 0.5 * (high - low):
        high = max(high, floor[1])
        line_at(axes, floor[1], f"{floor[0]} {text.number(floor[1])}", palette)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
