"""One page: a researcher's first look at a sweep, on a screen, a phone, or paper."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from playground.report import curves, depths, pareto, text, tuning
from playground.report.draw import PAGE, inline_svg
from playground.report.look import STYLE
from playground.report.rows import all_runs, below_floor
from playground.report.stats import summarize
from playground.report.sweep import Sweep
from playground.report.table import Table
from playground.report.timeline import timeline

if TYPE_CHECKING:
    from playground.report.build import Report

MAX_ROWS = 2000  # runs in the page; a browser is slow with more


def page(report: "Report") -> str:
    """The whole document; it loads nothing."""
    sweep = report.sweep
    sections = [
        _header(report),
        _differences(report),
        _section("Results", _table(report.table), _notes(report.table)),
        _section("Places", *map(_table, report.places)) if report.places else "",
        _curves(report),
        _depths(report),
        _pareto(report),
        _tuning(report),
        _problems(report),
        _section("What each variant changes", _variants(report)),
        _section(report.task_title, _facts(sweep.task)) if sweep.task else "",
        _timeline(report),
        _runs(report),
    ]
    body = "\n".join(part for part in sections if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(sweep.name)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _header(report: "Report") -> str:
    sentences = " ".join(escape(line) for line in report.summary())
    tiles = "".join(
        f'<div class="tile {tone}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value, tone in _tiles(report)
    )
    return (
        f"<header>\n<h1>{escape(report.sweep.name)}</h1>\n<p>{sentences}</p>\n"
        f'<div class="tiles">{tiles}</div>\n</header>'
    )


def _tiles(report: "Report") -> Iterable[tuple[str, str, str]]:
    sweep, runs = report.sweep, list(report.sweep.runs())
    bad = len(report.problems())
    yield "runs count", f"{len(runs) - bad} / {len(runs)}", "bad" if bad else ""
    yield "seeds", str(len({run.seed for run in runs})), ""
    if found := summarize(sweep.base.values(sweep.primary).values()):
        yield f"{sweep.baseline}: {sweep.primary}", text.number(found.mean), ""
    floor, below = sweep.floor, below_floor(sweep, sweep.base)
    if floor and below:
        beaten = below[0] == below[1]
        verdict = "beaten by the baseline" if beaten else "not beaten by every baseline run"
        yield f"{floor[0]} floor, {verdict}", text.number(floor[1]), "good" if beaten else "bad"


def _differences(report: "Report") -> str:
    sweep = report.sweep
    figure = curves.differences(sweep, PAGE)
    if figure is None:
        return ""
    about = (
        f"Difference in {sweep.primary} to {sweep.baseline}{sweep.where}, paired by seed: mean, "
        "95 % t interval, and each seed as a faint dot. Coloured where "
        f"it is told from zero by {sweep.judged_by}."
    )
    about += _left_out(sweep, curves.MAX_ROWS)
    label = f"Paired differences in {sweep.primary}"
    return _section("What each change does", _figure(inline_svg(figure, label), about))


def _curves(report: "Report") -> str:
    sweep = report.sweep
    whole = curves.overview(sweep, PAGE)
    if whole is None:
        return ""
    about = "Mean over seeds with a band of one standard deviation; the first steps are cut off."
    about += _left_out(sweep, curves.MAX_CURVES)
    parts = [_figure(inline_svg(whole, "Learning curves of all variants"), about)]
    singles = []
    shown = sweep.foremost(curves.MAX_CURVES)
    for variant in (v for v in shown if sweep.base_of(v) is not v):
        figure = curves.against_baseline(sweep, variant, PAGE)
        if figure is not None:
            svg = inline_svg(figure, f"Learning curve of {variant.name}")
            singles.append(f"<figure><h3>{escape(variant.name)}</h3>{svg}</figure>")
    if singles:
        caption = f"Each variant alone: every run thin, {sweep.baseline} in the colour of the text."
        caption += " A run that stopped is red and ends with a cross."
        parts.append(f'<p class="note">{escape(caption)}</p><div class="grid">')
        parts.append("\n".join(singles) + "</div>")
    return _section("Learning curves", *parts)


def _left_out(sweep: Sweep, most: int) -> str:
    """Which variants a figure shows, where it does not show all."""
    if len(sweep.variants) <= most:
        return ""
    return f" {sweep.baseline} and the {most - 1} variants that are best by {sweep.primary}."


def _pareto(report: "Report") -> str:
    figure = pareto.pareto(report.sweep, PAGE)
    if figure is None:
        return ""
    about = (
        f"{report.sweep.primary} with its 95 % interval over what it costs; the larger a dot the "
        "larger the state of one sequence. A ring: no other variant is as good on all three sides."
    )
    about += _left_out(report.sweep, pareto.MOST)
    return _section("Quality and cost", _figure(inline_svg(figure, "Quality and cost"), about))


def _depths(report: "Report") -> str:
    figure = depths.heatmaps(report.sweep, PAGE)
    if figure is None:
        return ""
    about = (
        "Percent found on the test split, mean over seeds, by tokens of the text and by how much "
        "of it stands before what is to be found."
    )
    about += _left_out(report.sweep, depths.MOST)
    return _section("Depth and length", _figure(inline_svg(figure, "Depth and length"), about))


def _timeline(report: "Report") -> str:
    figure = timeline(report.sweep, PAGE)
    if figure is None:
        return ""
    about = (
        "A bar is a program with a stripe for every run in it, from the beginning of its last "
        "attempt to its result; fainter ones are of tuning, a cross is a failure."
    )
    return _section("Timeline", _figure(inline_svg(figure, "Timeline of the sweep"), about))


def _tuning(report: "Report") -> str:
    sweep = report.sweep
    if not sweep.tuned:
        return ""
    parts = []
    for key in tuning.scales(sweep):
        figure = tuning.sensitivity(sweep, key, PAGE)
        if figure is not None:
            about = f"Mean {sweep.select} over the seeds of tuning; a ring is what was chosen."
            parts.append(_figure(inline_svg(figure, f"Sensitivity to {key}"), about))
    lines = "".join(f"<li>{escape(line)}</li>" for line in tuning.tuning_lines(sweep))
    return _section("Tuning", *parts, f"<ul>{lines}</ul>")


def _problems(report: "Report") -> str:
    lines = report.problems()
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return _section("Runs that do not count", f'<ul class="bad">{items}</ul>')


def _runs(report: "Report") -> str:
    left = max(0, sum(len(variant.runs) for variant in report.sweep.variants) - MAX_ROWS)
    note = f'<p class="note">{left} more are in runs.csv.</p>' if left else ""
    rows = _table(all_runs(report.sweep, MAX_ROWS))
    return _section("All runs", f"<details><summary>Show them</summary>{rows}{note}</details>")


def _variants(report: "Report") -> str:
    rows = []
    for variant in report.sweep.variants:
        changes = "<br>".join(
            f"<code>{escape(key)}: {escape(text.plain(value))}</code>"
            for key, value in variant.overrides.items()
        )
        if variant.dropped:
            changes += f"<br>its model has no {escape(', '.join(variant.dropped))}"
        rows.append(f"<dt>{escape(variant.name)}</dt><dd>{changes or 'the base as it is'}</dd>")
    return f"<dl>{''.join(rows)}</dl>"


def _facts(facts: Mapping[str, Any]) -> str:
    rows = (
        f"<dt>{escape(str(key).replace('_', ' '))}</dt><dd>{escape(text.plain(value))}</dd>"
        for key, value in facts.items()
    )
    return f"<dl>{''.join(rows)}</dl>"


def _notes(table: Table) -> str:
    notes = (f"<b>{escape(c.title)}</b>: {escape(c.about)}" for c in table.columns if c.about)
    return f'<p class="note">{". ".join(notes)}.</p>'


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col" class="{"left" if c.left else ""}" title="{escape(c.about)}">'
        f"{escape(c.title)}</th>"
        for c in table.columns
    )
    rows = []
    for row in table.rows:
        cells = []
        for column, cell in zip(table.columns, row, strict=True):
            tag = 'th scope="row"' if column is table.columns[0] else "td"
            classes = f"{cell.tone} {'left' if column.left else ''}".strip()
            end = tag.partition(" ")[0]
            cells.append(f'<{tag} class="{classes}">{escape(cell.text)}</{end}>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"
