"""The page of results: Markdown from the page's description and the records, and nothing else."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from playground.report import text
from playground.report.figures import figures_of
from playground.report.page import Asked, Beside, Experiment, Page, Section, Shown
from playground.report.records import Json, Record, run_of, sweep_of
from playground.report.rows import comparison, crossed
from playground.report.stats import interval, summarize
from playground.report.table import Cell, Column, Table

NOT_RUN = "not run yet"
COSTS = {"params": text.count, "tokens": text.count, "state_bytes": text.memory}
LEFT_OUT = ("tokens", "/ base", "FLOPs/token", "solved", "tokens/s")  # columns of sweeps

Values = Mapping[tuple[Any, ...], float]  # (seed, fold...) -> value


@dataclass(frozen=True, kw_only=True)
class Row:
    """Runs that one row of a table is the mean of: all of an experiment, or those of a part."""

    title: str
    runs: tuple[Json, ...]
    parts: tuple[str, ...] = ()  # keys over which a sample is a mean itself
    whole: int = 1  # runs of a sample: as many as there are parts
    wanted: int = 0  # samples: seeds times folds

    @property
    def good(self) -> list[Json]:
        """Those that are ok."""
        return [run for run in self.runs if run.get("status", "ok") == "ok"]

    def samples(self, metric: str) -> list[float]:
        """A value per seed and fold; of parts their mean, if every part is there."""
        groups: dict[tuple[Any, ...], list[float]] = {}
        for run in self.good:
            at = {k: v for k, v in run.get("at", {}).items() if k not in self.parts}
            value = value_of(run, metric)
            if value is not None:
                groups.setdefault((run["seed"], *sorted(at.items())), []).append(value)
        return [mean(found) for found in groups.values() if len(found) == self.whole]


def value_of(run: Json, metric: str) -> float | None:
    """A metric of a run, or what it cost (params, wall_s, ...), if it is a finite number."""
    costs = getattr(run_of(run), metric, None) if metric.isidentifier() else None
    found = run_of(run).value(metric) if metric in run.get("metrics", {}) else costs
    return float(found) if isinstance(found, int | float) else None


def render(page: Page, records: Mapping[str, Record]) -> str:
    """docs/results.md.

    Args:
        page: from `load_page`.
        records: from `read_records`.
    """
    drawn = figures_of(page, records).keys()
    parts = [f"# {page.title}", page.about.strip(), _overview(page, records)]
    for section in page.sections:
        parts += [f"## {section.title}", section.about.strip()]
        parts += _section(section, records, drawn)
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(page: Page, records: Mapping[str, Record]) -> str:
    """Every bar of the page with what became of it."""
    rows = []
    for section in page.sections:
        for bar in section.asked:
            cells = (section.title, _bar_text(bar, section), *_verdict(bar, section, records))
            rows.append(tuple(Cell(text=cell) for cell in cells))
    if not rows:
        return ""
    columns = tuple(Column(title=t, left=True) for t in ("section", "asked", "ours", "met"))
    return Table(title="", columns=columns, rows=tuple(rows)).to_markdown().rstrip()


def _section(
    section: Section, records: Mapping[str, Record], drawn: Container[str]
) -> Iterator[str]:
    found = {n: records[n] for n in section.experiments if n in records}
    plain = {n: e for n, e in section.experiments.items() if e.verb == "train"}
    if plain and section.shown:
        yield _table(section, plain, found).to_markdown().rstrip()
    yield "\n".join(_bar_line(bar, section, records) for bar in section.asked)
    for name, record in found.items():
        if record.sweep:
            yield _sweep(section.experiments[name].title or name, record)
        if record.rows:
            yield _output(section.experiments[name], record)
    for name, one in section.figures.items():
        if name in drawn:
            yield f"![{one.title}](results/{name}.svg)"
    yield section.published.strip()
    yield section.notes.strip()
    lines = (_provenance(n, e, found.get(n)) for n, e in section.experiments.items())
    yield "\n".join(lines)


# tables of runs


def _table(
    section: Section, plain: Mapping[str, Experiment], records: Mapping[str, Record]
) -> Table:
    columns = [Column(title="", left=True), Column(title="n")]
    columns += [Column(title=shown.title or shown.metric) for shown in section.shown]
    rows = [
        _cells(row, section.shown)
        for name, one in plain.items()
        for row in rows_of(name, one, records.get(name))
    ]
    every = [run for n in plain if n in records for run in records[n].runs]
    rows += [_beside_cells(one, section.shown, every) for one in section.beside]
    return Table(title="", columns=tuple(columns), rows=tuple(rows))


def rows_of(name: str, one: Experiment, record: Record | None) -> list[Row]:
    """The rows of an experiment: one for each part, if it has parts, and one of all."""
    title, runs = one.title or name, record.runs if record else ()
    count = len(one.seeds)
    for values in one.folds.values():
        count *= len(values)
    found, whole = [], 1
    if one.parts:
        (key,) = one.parts
        whole = len(one.parts[key])
        for value in one.parts[key]:
            mine = tuple(run for run in runs if run.get("at", {}).get(key) == value)
            label = f"{title}, {key.rpartition('.')[2]} {text.plain(value)}"
            found.append(Row(title=label, runs=mine, wanted=count))
        title = f"{title}, mean"
    row = Row(title=title, runs=runs, parts=tuple(one.parts), whole=whole, wanted=count)
    return [*found, row]


def _cells(row: Row, shown: Sequence[Shown]) -> tuple[Cell, ...]:
    counts = [len(row.samples(one.metric)) for one in shown]
    n = max(counts, default=0)
    bad = len(row.runs) - len(row.good)
    failed = f", {bad} failed" if bad else ""
    said = f"{n}{failed}" if row.runs else NOT_RUN
    return (Cell(text=row.title), Cell(text=said), *(_metric(row, one) for one in shown))


def _metric(row: Row, shown: Shown) -> Cell:
    values = [value * shown.scale for value in row.samples(shown.metric)]
    found = summarize(values)
    if found is None:
        return Cell(text=text.NONE)
    if shown.metric in COSTS:
        return Cell(text=COSTS[shown.metric](found.mean))
    if shown.metric == "wall_s":
        return Cell(text=minutes(found.mean))
    said = f"{found.mean:,.{shown.decimals}f}"
    if found.sd is None:
        return Cell(text=said)
    said += f" {text.PLUS_MINUS} {found.sd:,.{shown.decimals}f}"
    ends = interval(dict(enumerate(values)))
    if found.n < 3 or ends is None or ends.low is None or ends.high is None:
        return Cell(text=said)
    low, high = (f"{end:,.{shown.decimals}f}" for end in (ends.low, ends.high))
    return Cell(text=f"{said} [{low}, {high}]")


def minutes(seconds: float) -> str:
    """Seconds as 1:05 minutes."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def _beside_cells(one: Beside, shown: Sequence[Shown], runs: Sequence[Json]) -> tuple[Cell, ...]:
    source = f" ({one.source})" if one.source else ""
    return (
        Cell(text=f"*{one.what}*{source}"),
        Cell(text=text.NONE),
        *(Cell(text=_beside_text(one, column, runs)) for column in shown),
    )


def _beside_text(one: Beside, column: Shown, runs: Sequence[Json]) -> str:
    if column.metric in one.values:
        return one.values[column.metric]
    name = one.floors.get(column.metric)
    found = [run["floors"][name] for run in runs if name in run.get("floors", {})]
    return f"{mean(found) * column.scale:,.{column.decimals}f}" if found else text.NONE


# bars


def _verdict(bar: Asked, section: Section, records: Mapping[str, Record]) -> tuple[str, str]:
    """What was reached, and whether that is enough; of how many seeds and folds, if some lack."""
    record = records.get(bar.of)
    row = rows_of(bar.of, section.experiments[bar.of], record)[-1]
    samples = _samples(bar.of, bar.metric, section, records)
    if not samples:
        return "", NOT_RUN
    found = mean(samples)
    if bar.over or bar.against:
        below = _samples(bar.against or bar.of, bar.over or bar.metric, section, records)
        if not below:
            return "", NOT_RUN
        if not mean(below):
            return "of nothing", "not met"
        found /= mean(below)
    met = found >= bar.least if bar.least is not None else found <= (bar.most or 0.0)
    said = "met" if met else "not met"
    few = section.experiments[bar.of].spec and len(samples) < row.wanted
    short = f", {len(samples)} of {row.wanted}" if few else ""
    plain = not (bar.over or bar.against)
    inside = ", inside the 95 % interval" if plain and _unclear(bar, samples) else ""
    return _number(bar, section, found), said + short + inside


def _samples(
    name: str, metric: str, section: Section, records: Mapping[str, Record]
) -> list[float]:
    """A value per seed and fold; of a command that of its last row."""
    record = records.get(name)
    if record is not None and record.rows:
        value = record.rows[-1].get(metric)
        return [float(value)] if isinstance(value, int | float) else []
    return rows_of(name, section.experiments[name], record)[-1].samples(metric)


def _unclear(bar: Asked, samples: Sequence[float]) -> bool:
    """Whether what is asked lies within the interval of what was reached, from three samples on."""
    ends = interval(dict(enumerate(samples)))
    if len(samples) < 3 or ends is None or ends.low is None or ends.high is None:
        return False
    limit = (bar.most or 0.0) if bar.least is None else bar.least
    return ends.low < limit < ends.high


def _bar_line(bar: Asked, section: Section, records: Mapping[str, Record]) -> str:
    ours, met = _verdict(bar, section, records)
    said = f"- asked: {_bar_text(bar, section)}: **{met}**"
    return f"{said}, {ours}" if ours else said


def _bar_text(bar: Asked, section: Section) -> str:
    limit = bar.least if bar.least is not None else bar.most
    way = "at least" if bar.least is not None else "at most"
    titles = {one.metric: one.title or one.metric for one in section.shown}
    names = [titles.get(metric, metric) for metric in (bar.metric, bar.over) if metric]
    of = section.experiments[bar.of].title or bar.of
    if bar.against:
        of += f" / {section.experiments[bar.against].title or bar.against}"
    why = f" ({bar.why})" if bar.why else ""
    return f"{of}, {' / '.join(names)} {way} {_number(bar, section, limit or 0.0)}{why}"


def _number(bar: Asked, section: Section, value: float) -> str:
    """In the unit of the metric's column; a ratio as it is."""
    if bar.over or bar.against:
        return f"{value:.3f}"
    if bar.metric == "wall_s":
        return minutes(value)
    if bar.metric in COSTS:
        return COSTS[bar.metric](value)
    shown = next((one for one in section.shown if one.metric == bar.metric), None)
    return f"{value:.4g}" if shown is None else f"{value * shown.scale:,.{shown.decimals}f}"


# sweeps, output, where numbers come from


def _sweep(title: str, record: Record) -> str:
    from playground.report.build import Report

    sweep = sweep_of(record)
    table = comparison(sweep)
    keep = [i for i, column in enumerate(table.columns) if column.title not in LEFT_OUT]
    kept = Table(
        title=title,
        columns=tuple(table.columns[i] for i in keep),
        rows=tuple(tuple(row[i] for i in keep) for row in table.rows),
    )
    summary = " ".join(Report(sweep=sweep, table=kept).summary())
    grid = crossed(sweep, _first_place(record.spec))
    tables = [table.to_markdown().rstrip() for table in (grid, kept) if table is not None]
    return "\n\n".join([f"**{title}.** {summary}", *tables])


def _first_place(spec: Json) -> str:
    """Where in its grid a sweep's variants have plain names."""
    grid: Json = spec.get("grid") or {}
    return ", ".join(f"{key}={values[0]}" for key, values in grid.items())


def _output(one: Experiment, record: Record) -> str:
    titles = one.columns or {key: key for key in record.rows[0]}
    rows = [tuple(Cell(text=_cell(row.get(key))) for key in titles) for row in record.rows]
    columns = tuple(Column(title=title) for title in titles.values())
    table = Table(title="", columns=columns, rows=tuple(rows)).to_markdown().rstrip()
    return f"**{one.title}.**\n\n{table}" if one.title else table


def _cell(value: Any) -> str:
    if value is None:
        return text.NONE
    return text.number(value) if isinstance(value, float) else text.plain(value)


def _provenance(name: str, one: Experiment, record: Record | None) -> str:
    """One line: the command, and what it ran on."""
    seeds = _seeds(one.seeds if record is None else [run["seed"] for run in record.runs])
    said = f"`{one.said()}`" + (seeds if one.verb == "train" else "")
    for key, values in (*one.folds.items(), *one.parts.items()):
        said += f", each with {key}={', '.join(map(text.plain, values))}"
    if record is None:
        return f"- {name}: {said}: {NOT_RUN}"
    runs = [*record.every_run(), record.about]
    facts = [_most(runs, key) for key in ("date", "machine", "versions")]
    facts += [f"entered by hand: {record.by_hand}"] if record.by_hand else []
    facts += [f"of an earlier form of the spec: {one.earlier}"] if one.earlier else []
    names = [run["fingerprint"][:12] for run in record.runs if run.get("fingerprint")]
    facts += [f"runs {' '.join(names)}"] if names else []
    facts += [f"seed {run['seed']}: {run['note']}" for run in record.runs if run.get("note")]
    failed = [run for run in runs if run.get("status", "ok") != "ok"]
    facts += [f"failed: seed {run['seed']}, {run.get('reason', '')}" for run in failed]
    return f"- {name}: {said}: {'; '.join(fact for fact in facts if fact)}"


def _seeds(seeds: Sequence[int]) -> str:
    found = sorted(set(seeds))
    return f", seed{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _most(runs: Sequence[Json], key: str) -> str:
    """What the runs say under a key, the most frequent first."""
    counts = Counter(run[key] for run in runs if key in run)
    return ", ".join(said for said, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
