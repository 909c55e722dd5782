"""Numbers and lists as a person reads them."""

from collections.abc import Sequence

PLUS_MINUS = "\u00b1"
NONE = "-"
HUGE = 1e9


def number(value: float, signed: bool = False) -> str:
    """About four significant decimals; thousands are grouped, what is huge has an exponent."""
    size = abs(value)
    if size >= HUGE:
        return f"{value:{'+' if signed else ''}.4g}"
    decimals = 4 if size < 10 else 2 if size < 1000 else 0
    return f"{value:{'+' if signed else ''},.{decimals}f}"


def spread(mean: float, sd: float | None) -> str:
    """`mean +- sd`, both with the decimals of the mean."""
    shown = number(mean)
    if sd is None:
        return shown
    decimals = len(shown.partition(".")[2])
    width = number(sd) if max(abs(mean), sd) >= HUGE else f"{sd:,.{decimals}f}"
    return f"{shown} {PLUS_MINUS} {width}"


def count(value: float) -> str:
    """With k, M, G, T: 1.23M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.4g}"


def length(tokens: float) -> str:
    """Of a text, in powers of two where it is one: 512, 16K, 2M."""
    for size, unit in ((2**20, "M"), (2**10, "K")):
        if tokens >= size and tokens % size == 0:
            return f"{tokens / size:.0f}{unit}"
    return count(tokens)


def memory(value: float) -> str:
    """Bytes with binary units: 96 KiB."""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def probability(value: float) -> str:
    """Three decimals, and never a false zero."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def plain(value: object) -> str:
    """A value of a spec or a description on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return str(value)


def counted(number: int, word: str) -> str:
    """`3 runs`, `1 run`, `2 processes`."""
    return f"{number} {word}{'' if number == 1 else 'es' if word.endswith('s') else 's'}"


def headings(places: Sequence[str]) -> tuple[str, list[str]]:
    """`horizon` and [96, 192] of horizon=96 and horizon=192; of several keys each in full."""
    keys = {place.partition("=")[0] for place in places}
    if len(keys) > 1 or any(", " in place for place in places):
        return "", list(places)
    return keys.pop(), [place.partition("=")[2] for place in places]


def together(places: Sequence[str]) -> str:
    """`horizon=96, 192` of horizon=96 and horizon=192; of several keys each in full."""
    key, values = headings(places)
    return f"{key}={', '.join(values)}" if key else "; ".join(values)
