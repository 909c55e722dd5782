"""How figures look, on paper and on a page, and how they are written."""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart also by eyes that confuse red and green (Okabe and Ito, lightened or darkened so
# that each stands out on white and on black).
SERIES = ("#e08e00", "#3b8fd6", "#0a9b76", "#d0578f", "#b0641f", "#7f6bd1", "#8a9a00", "#c23b3b")
WIDTH = 5.4  # inches; narrow, so that the text is still read when a phone shows it


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours that depend on the page."""

    ink: str
    muted: str
    grid: str
    good: str
    bad: str


PAPER = Palette(ink="#1b1f24", muted="#6a737d", grid="#e3e6ea", good="#0a8754", bad="#c2372e")
# Stand-ins that `inline_svg` replaces by the variables of the page, which follow its theme.
PAGE = Palette(ink="#010203", muted="#010204", grid="#010205", good="#010206", bad="#010207")
_VARIABLES = {getattr(PAGE, name): f"var(--{name})" for name in PAGE.__dataclass_fields__}


def color_of(index: int, palette: Palette) -> str:
    """The colour of a variant in all figures; the first is the baseline."""
    return palette.ink if index == 0 else SERIES[(index - 1) % len(SERIES)]


def line_at(axes: "Axes", height: float, label: str, palette: Palette) -> None:
    """A dashed level with its name at the right end."""
    axes.axhline(height, color=palette.muted, lw=1, ls=(0, (4, 3)))
    axes.annotate(
        label,
        (0.99, height),
        (0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=palette.muted,
    )


def frame(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of so many inches with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def style(palette: Palette) -> Any:
    """A context with our look; pyplot and its global state are never touched."""
    import matplotlib as mpl

    look: dict[Any, Any] = {
        "axes.edgecolor": palette.grid,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": palette.muted,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "figure.facecolor": "none",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "grid.color": palette.grid,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "legend.labelcolor": palette.ink,
        "text.color": palette.ink,
        "text.parse_math": False,  # a name may hold dollar signs
        "xtick.color": palette.grid,
        "xtick.labelcolor": palette.muted,
        "ytick.color": palette.grid,
        "ytick.labelcolor": palette.muted,
    }
    return mpl.rc_context(look)


def save(figure: "Figure", file: Any, kind: str, salt: str = "figure") -> None:
    """Write a figure as svg, png or pdf; the same figure always gives the same svg bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasAgg(figure)
    if (layout := figure.get_layout_engine()) is not None:  # once; writing would do it twice
        layout.execute(figure)
        figure.set_layout_engine("none")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        if kind == "svg":  # not through savefig, which draws every figure twice
            FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
        else:
            stamp = {"CreationDate": None} if kind == "pdf" else {}
            figure.savefig(file, format=kind, metadata=stamp, dpi=160)


def inline_svg(figure: "Figure", label: str) -> str:
    """An svg element for a page whose style has --ink, --muted, --grid, --good and --bad.

    Args:
        figure: drawn with the palette PAGE.
        label: what it shows, for who cannot see it; unique in the page.
    """
    out = io.StringIO()
    save(figure, out, "svg", salt=label)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    quoted = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{quoted}"', 1)
