"""A bench as tables: a pure function of its lines of JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playground.errors import PlaygroundError
from playground.report.table import Cell, Column, Table

BenchRow = Mapping[str, Any]
Key = tuple[object, ...]
SHORT = 40  # characters of a reason that fit beside times
DISTURBED = 1.5  # a median over the fastest call, from which on something else ran beside it
NEEDED = ("kind", "what", "mode", "shape", "scale", "path", "times", "stamp")

COLUMNS = (
    Column(title="what", left=True),
    Column(title="mode", left=True),
    Column(title="shape", left=True),
    Column(title="path", left=True),
    Column(title="ms [p20, p80]", about="median wall time of a call, of a token where it decodes"),
    Column(title="tokens/s"),
    Column(title="speed-up", about="over the baseline, in turns"),
    Column(title="compute", about="of the matmul peak of the same run, by the FLOPs of formulas"),
    Column(title="traffic", about="of the copy bandwidth, by the fewest bytes there can be"),
    Column(title="error", about="against the recurrence in fp64, by norm; (share of the allowed)"),
    Column(title="MiB", about="that a call adds", optional=True),
    Column(title="compile s", about="what the first call took longer", optional=True),
    Column(title="breaks", about="of graphs, counted by torch", optional=True),
    Column(title="ran", about="which form ran in which part", left=True, optional=True),
)


def load_bench(file: Path) -> list[BenchRow]:
    """The rows of a bench's JSON-lines file.

    Raises:
        PlaygroundError: it cannot be read, or a line is no row.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise PlaygroundError(f"{file}: is no file of rows ({error}).") from None
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or any(name not in row for name in NEEDED):
            raise PlaygroundError(f"{file}: line {i + 1} is no row of a bench.")
    if not rows:
        raise PlaygroundError(f"{file}: has no rows.")
    return rows


def shape_text(row: BenchRow) -> str:
    """B2-T1024-H4-D64-fp32; a model's shape has no heads; a rule's gates if not the default."""
    s = row["shape"]
    heads = f"-H{s['heads']}-D{s['width']}" if s["heads"] else ""
    gates = "" if row["scale"] == "default" else f", {row['scale']} gates"
    return f"B{s['batch']}-T{s['length']}{heads}-{s['dtype']}{gates}"


def key_of(row: BenchRow) -> Key:
    """What a row is: the same in two files means the same work on the same path."""
    return (row["kind"], row["what"], row["mode"], shape_text(row), row["path"])


def side_by_side(rows: Sequence[BenchRow]) -> Table:
    """A row per work, a column per path; a path that cannot run says why in its place.

    Peers stand in `details` and `reasons` alone.
    """
    paths = [p for p in dict.fromkeys(row["path"] for row in rows) if not p.startswith("peer")]
    works: dict[Key, dict[str, BenchRow]] = {}
    for row in rows:
        works.setdefault(key_of(row)[:-1], {})[row["path"]] = row
    lines = []
    for (_, *names), found in works.items():
        cells = [_side(found[path]) if path in found else Cell(text="-") for path in paths]
        lines.append((*(Cell(text=str(name)) for name in names), *cells))
    columns = (*COLUMNS[:3], *(Column(title=f"{path}, ms") for path in paths))
    return Table(title="", columns=columns, rows=tuple(lines))


def _side(row: BenchRow) -> Cell:
    if row["times"] is not None:
        faster = "" if row["speedup"] is None else f" x{row['speedup']:.2f}"
        return Cell(text=spread(row["times"]) + faster)
    if failed(row):
        return Cell(text="FAIL", tone="bad")
    why = row["refused"]
    return Cell(text=why if len(why) <= SHORT else "cannot run", tone="muted")


def failed(row: BenchRow) -> bool:
    """Whether a row ran and is wrong."""
    return row["said"].startswith("FAIL")


def details(rows: Sequence[BenchRow]) -> Table:
    """Every row that ran, with all its numbers; a wrong one has none."""
    ran = [row for row in rows if not row["refused"]]
    return Table(title="", columns=COLUMNS, rows=tuple(_cells(row) for row in ran))


def reasons(rows: Sequence[BenchRow]) -> list[str]:
    """What is wrong with rows that failed, and why paths cannot run."""
    lines = [f"{' '.join(map(str, key_of(row)[1:]))}: {row['said']}" for row in rows if failed(row)]
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["refused"]:
            key = (row["path"], row["refused"])
            counts[key] = counts.get(key, 0) + 1
    lines += [f"{path} cannot run: {why} ({n} of the rows)" for (path, why), n in counts.items()]
    return lines


def doubts(rows: Sequence[BenchRow]) -> list[str]:
    """Why times may not be what they seem: parts that ran in another form, a disturbed machine."""
    lines, timed = [], [row for row in rows if row["times"] is not None]
    for row in timed:
        eager = {part: form for part, form in row["ran"].items() if form.endswith(" eager")}
        if row["path"] in ("compiled", "triton") and eager:
            lines.append(f"{' '.join(map(str, key_of(row)[1:]))}: not all of it, {forms(eager)}")
    slower = {i: r["times"]["median"] / r["times"]["fastest"] for i, r in enumerate(timed)}
    worst = max(slower, key=lambda i: slower[i], default=-1)
    count = sum(ratio > DISTURBED for ratio in slower.values())
    if count:
        lines.append(
            f"disturbed: {count} of {len(timed)} medians are more than {DISTURBED} times their "
            f"fastest call, up to {slower[worst]:.1f} times "
            f"({' '.join(map(str, key_of(timed[worst])[1:]))}); something ran beside it"
        )
    share = max((row["flops_share"] or 0.0 for row in timed), default=0.0)
    if share > 1:
        lines.append(f"disturbed: {100 * share:.0f} % of a matmul peak that was measured too low")
    return lines


def _cells(row: BenchRow) -> tuple[Cell, ...]:
    names = (row["what"], row["mode"], shape_text(row), row["path"])
    first = [Cell(text=text) for text in names]
    if row["times"] is None:
        rest = [Cell(text="FAIL", tone="bad"), *(Cell(text="") for _ in COLUMNS[len(first) + 1 :])]
        return (*first, *rest)
    mib = row["memory"] and row["memory"] / (1 << 20)
    numbers = (
        spread(row["times"]),
        f"{row['tokens_per_s']:,.0f}",
        _number(row["speedup"], "{:.2f}"),
        _share(row["flops_share"]),
        _share(row["bytes_share"]),
        _error(row),
        _number(mib, "{:.1f}"),
        _number(row["compile_s"], "{:.1f}"),
        _number(row["graph_breaks"], "{}"),
        forms(row["ran"]),
    )
    return (*first, *(Cell(text=text) for text in numbers))


def spread(times: Mapping[str, float]) -> str:
    """Median and quantiles in milliseconds."""
    return " ".join([_ms(times["median"]), f"[{_ms(times['p20'])}, {_ms(times['p80'])}]"])


def _ms(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2g} %"


def _error(row: BenchRow) -> str:
    gate = row["gate"]
    if gate is None:
        return "other mathematics"
    return f"{gate['relative']:.1e} ({100 * gate['error']:.0f} %)"


def forms(ran: Mapping[str, str]) -> str:
    """Parts that ran alike together: `memory: chunked compiled x 8`."""
    counts: dict[tuple[str, str], int] = {}
    for part, form in ran.items():
        place = (part.rpartition(".")[2], form)
        counts[place] = counts.get(place, 0) + 1
    said = [f"{part}: {form}" + (f" x {n}" if n > 1 else "") for (part, form), n in counts.items()]
    return "; ".join(said)


def legend(rows: Sequence[BenchRow]) -> list[str]:
    """What was measured on, what columns mean, and how a peer's mathematics differs."""
    about = rows[0]["stamp"]
    lines = [
        f"{about['date']}, {about['processor']} ({about['device']}), {about['threads']} threads, "
        f"torch {about['torch']}"
    ]
    for dtype, peak in about.get("peaks", {}).items():
        flops, moved = peak["flops_per_s"] / 1e9, peak["bytes_per_s"] / 1e9
        lines.append(f"{dtype}: matmul peak {flops:,.0f} GFLOP/s, copy {moved:,.1f} GB/s, measured")
    cache = "empty caches" if about.get("empty_cache") else "torch's caches as they were"
    lines.append(f"compile s: with {cache}; what an earlier row has compiled is not compiled again")
    lines += [f"{column.title}: {column.about}" for column in COLUMNS if column.about]
    others = {row["path"]: row["other"] for row in rows if row["other"]}
    return [*lines, *(f"{path} is other mathematics: {how}" for path, how in others.items())]


def comparison(rows: Sequence[BenchRow], earlier: Sequence[BenchRow]) -> Table:
    """Times over those of an earlier file, row by row; marked where the spreads are apart.

    A row that had no time then and has none now, for the same reason, is left out.
    """
    before = {key_of(row): row for row in earlier}
    now = {key_of(row) for row in rows}
    columns = (
        *COLUMNS[:4],
        Column(title="before, ms"),
        Column(title="now, ms"),
        Column(title="now / before"),
        Column(title="", left=True),
    )
    lines = [
        _compared(row, old)
        for row in rows
        if (old := before.get(key_of(row))) is None or old["said"] != row["said"] or row["times"]
    ]
    lines += [_compared(row, row, gone=True) for row in earlier if key_of(row) not in now]
    return Table(title="", columns=columns, rows=tuple(lines))


def _compared(row: BenchRow, old: BenchRow | None, gone: bool = False) -> tuple[Cell, ...]:
    names = tuple(Cell(text=t) for t in (row["what"], row["mode"], shape_text(row), row["path"]))
    times = [None if r is None else r["times"] for r in (old, None if gone else row)]
    texts = ["-" if t is None else spread(t) for t in times]
    then, now = times
    if then is not None and now is not None and old is not None and old["cost"] == row["cost"]:
        last = _moved(then, now)
    else:
        last = (Cell(text="-"), Cell(text=_change(row, old, gone)))
    return (*names, *(Cell(text=text) for text in texts), *last)


def _moved(then: Mapping[str, float], now: Mapping[str, float]) -> tuple[Cell, Cell]:
    """The ratio of medians, and a word if [p20, p80] of one lies outside that of the other."""
    ratio = now["median"] / then["median"]
    text, values = f"{ratio:.2f}", {"ratio": ratio}
    if now["p20"] > then["p80"]:
        return Cell(text=text, values=values, tone="bad"), Cell(text="slower", tone="bad")
    if now["p80"] < then["p20"]:
        return Cell(text=text, values=values, tone="good"), Cell(text="faster", tone="good")
    return Cell(text=text, values=values), Cell(text="")


def _change(row: BenchRow, old: BenchRow | None, gone: bool) -> str:
    """Why two rows cannot be compared."""
    if gone:
        return "not in this run"
    if old is None:
        return "new"
    if row["times"] is not None and old["times"] is not None:
        return "other work: another model of this name, or counted otherwise"
    said = (row["said"] or "has a time", old["said"] or "had a time")
    return said[0] if said[0] == said[1] else f"{said[0]}; before: {said[1]}"


def differences(rows: Sequence[BenchRow], earlier: Sequence[BenchRow]) -> list[str]:
    """What else is not as it was: machine, threads, versions."""
    new, old = rows[0]["stamp"], earlier[0]["stamp"]
    names = ("device", "processor", "threads", "torch", "packages", "python", "system")
    return [
        f"{name}: {old.get(name)} before, {new.get(name)} now"
        for name in names
        if old.get(name) != new.get(name)
    ]
