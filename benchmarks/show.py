"""What `speed.py` found: as tables, and as plain JSON."""

from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

Found = dict[str, Any]
MODES = ("forward", "forward+backward")
# ours, the peer's, and what is asked of tokens/s of ours over the peer's, by mode
COMPARED: tuple[tuple[str, str, tuple[float, float] | None], ...] = (
    ("ours: layer", "peer: default, compiled", (1.5, 1.2)),
    ("ours: scan", "peer: core, compiled", (1.5, 1.2)),
    ("ours: scan", "peer: default, compiled", (1.5, 1.2)),
    ("ours: layer", "peer: default, eager", None),
    ("ours: layer", "peer: paper, eager", (150.0, 300.0)),
    ("ours: scan", "peer: paper, eager", (150.0, 300.0)),
)
SHARE, MEMORY, GROWTH, COMPILE_S = 0.40, 2.0, 1.10, 60.0


def rates(found: Found) -> dict[str, dict[str, float]]:
    """Tokens per second by mode and what ran."""
    batch, length = (found["about"]["shape"][n] for n in ("batch", "length"))
    made = {
        mode: {name: batch * length / t.median * 1e3 for name, t in times.items()}
        for mode, times in found["times"].items()
    }
    for mode, t in found["paper"].items():
        made[mode]["peer: paper, eager"] = batch * found["paper_length"] / t.median * 1e3
    return made


def ratios(found: Found) -> list[Found]:
    """Tokens per second of ours over the peer's, each with what is asked of it."""
    speeds = rates(found)
    return [
        {
            "mode": mode,
            "ours": mine,
            "other": other,
            "ratio": speeds[mode][mine] / speeds[mode][other],
            "asked": None if asked is None else asked[i],
        }
        for i, mode in enumerate(MODES)
        for mine, other, asked in COMPARED
        if other in speeds[mode]
    ]


def per_token_us(found: Found) -> dict[int, float]:
    """Microseconds per token of our forward pass, by length."""
    batch = found["about"]["shape"]["batch"]
    return {n: t.median * 1e3 / (batch * n) for n, t in found["lengths"].items()}


def show(found: Found, console: Console) -> None:
    """Print every table."""
    about = found["about"]
    console.print(f"{about['processor']}, {about['threads']} threads, torch {about['torch']}")
    for table in (_times(found), _ratios(found), _limits(found), _lengths(found), _compile(found)):
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _times(found: Found) -> Table:
    table = _table("Times, in turns", "what", "mode", "ms [p20, p80]", "tokens/s")
    speeds = rates(found)
    for mode in MODES:
        shown = found["times"][mode]
        if mode in found["paper"]:
            shown = shown | {"peer: paper, eager": found["paper"][mode]}
        for name, t in shown.items():
            spread = f"{t.median:.1f} [{t.p20:.1f}, {t.p80:.1f}]"
            table.add_row(name, mode, spread, f"{speeds[mode][name]:,.0f}")
    return table


def _verdict(holds: bool | None) -> str:
    return "" if holds is None else "yes" if holds else "NO"


def _ratios(found: Found) -> Table:
    table = _table("Tokens/s, ours over the peer's", "mode", "ours", "peer", "ratio", "asked", "")
    for row in ratios(found):
        asked = row["asked"]
        holds = None if asked is None else row["ratio"] >= asked
        said = "" if asked is None else f"{asked:g}"
        table.add_row(
            row["mode"], row["ours"], row["other"], f"{row['ratio']:.2f}", said, _verdict(holds)
        )
    return table


def _limits(found: Found) -> Table:
    table = _table("Against the machine", "what", "measured", "asked", "")
    peak, memory, share = found["peak"], found["memory"], found["share_of_peak"]
    mib = 1 / (1 << 20)
    counted = f"{memory.inputs * mib:.1f} + {memory.gates * mib:.1f} + {memory.states * mib:.1f}"
    table.add_row("matmul peak, GFLOP/s", f"{peak.flops_per_s / 1e9:.0f}", "", "")
    table.add_row("copy, GB/s", f"{peak.bytes_per_s / 1e9:.1f}", "", "")
    table.add_row("scan forward, FLOPs per token", f"{found['flops_per_token']:,.0f}", "", "")
    table.add_row(
        "scan forward, share of peak", f"{share:.1%}", f"{SHARE:.0%}", _verdict(share >= SHARE)
    )
    table.add_row("forward+backward, MiB more", f"{memory.extra * mib:.1f}", "", "")
    table.add_row("inputs + gates + states, MiB", counted, "", "")
    holds = _verdict(memory.ratio <= MEMORY)
    table.add_row("memory over their sum", f"{memory.ratio:.2f}", f"{MEMORY:g}", holds)
    return table


def _lengths(found: Found) -> Table:
    table = _table(
        "Scan forward by length", "tokens", "us per token", "of the shortest", "asked", ""
    )
    costs = per_token_us(found)
    shortest = costs[min(costs)]
    for length, cost in costs.items():
        grown = cost / shortest
        said = (f"{length}", f"{cost:.2f}", f"{grown:.2f}", f"{GROWTH:g}")
        table.add_row(*said, _verdict(grown <= GROWTH))
    return table


def _compile(found: Found) -> Table:
    columns = ("class", "forward s", "backward s", "asked", "", "graph breaks", "graphs")
    table = _table("First compile, empty caches", *columns)
    for name, c in found["compile"].items():
        table.add_row(
            name,
            f"{c.forward_s:.1f}",
            f"{c.backward_s:.1f}",
            f"{COMPILE_S:g} in all",
            _verdict(c.total_s <= COMPILE_S),
            str(c.graph_breaks),
            str(c.graphs),
        )
    return table


def as_plain(found: Any) -> Any:
    """Everything found, and what follows from it, as JSON takes it."""
    if isinstance(found, dict) and "times" in found:
        derived = {"ratios": ratios(found), "us_per_token": per_token_us(found)}
        found = found | derived | {"tokens_per_s": rates(found)}
        memory = found["memory"]
        found["memory_ratios"] = [memory.ratio, memory.ratio_with_inputs]
    if is_dataclass(found) and not isinstance(found, type):
        return as_plain(asdict(found))
    if isinstance(found, dict):
        return {str(key): as_plain(value) for key, value in found.items()}
    return [as_plain(value) for value in found] if isinstance(found, list | tuple) else found
