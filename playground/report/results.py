"""The page of results: Markdown from the page's description and the records, and nothing else."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from playground.report import bars, text
from playground.report.bars import COSTS, NOT_RUN, minutes
from playground.report.figures import figures_of
from playground.report.page import Beside, Experiment, Page, Section, Shown
from playground.report.records import Json, Record, sweep_of
from playground.report.rows import by_place, comparison, crossed
from playground.report.samples import Row, rows_of
from playground.report.stats import interval, summarize
from playground.report.table import Cell, Column, Table

LEFT_OUT = ("tokens", "/ base", "FLOPs/token", "solved", "tokens/s")  # columns of sweeps


def render(page: Page, records: Mapping[str, Record]) -> str:
    """docs/results.md.

    Args:
        page: from `load_page`.
        records: from `read_records`.
    """
    drawn = figures_of(page, records).keys()
    parts = [f"# {page.title}", page.about.strip(), page.findings.strip()]
    for section in page.sections:
        parts += [f"## {section.title}", section.about.strip()]
        parts += _section(section, records, drawn)
    if every := bars.overview(page, records):
        parts += ["## All bars", every]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(
    section: Section, records: Mapping[str, Record], drawn: Container[str]
) -> Iterator[str]:
    found = {n: records[n] for n in section.experiments if n in records}
    plain = {n: e for n, e in section.experiments.items() if e.verb == "train"}
    if plain and section.shown:
        yield _table(section, plain, found).to_markdown().rstrip()
    yield "\n".join(bars.lines(section, records))
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


def _cells(row: Row, shown: Sequence[Shown]) -> tuple[Cell, ...]:
    counts = [len(row.samples(one.metric)) for one in shown]
    n = max(counts, default=0)
    bad = len(row.runs) - len(row.good)
    failed = f", {bad} failed" if bad else ""
    said = f"{n}{failed}" if row.runs else NOT_RUN
    return (Cell(text=row.title), Cell(text=said), *(_metric(row, one) for one in shown))


def _metric(row: Row, shown: Shown) -> Cell:
    values = [value * shown.scale for value in row.samples(shown.metric).values()]
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
    every = (grid, *by_place(sweep), kept)
    tables = [table.to_markdown().rstrip() for table in every if table is not None]
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
    command = one.said() if record is None else record.command
    said = f"`{command}`" + (seeds if one.verb == "train" else "")
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
