"""A report: built from files alone, written in any of several formats."""

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from playground.errors import SpecError
from playground.report import text
from playground.report.audited import audit_line
from playground.report.load import load_sweep
from playground.report.rows import below_floor, by_place, comparison, run_values
from playground.report.stats import MIN_PAIRS_FOR_P, correlation, summarize
from playground.report.sweep import Sweep
from playground.report.table import Table, csv_of
from playground.report.tuning import tuning_lines

if TYPE_CHECKING:
    from rich.table import Table as RichTable

FORMATS = ("md", "html", "csv", "tex", "svg", "png", "pdf")
MOST_SHOWN = 60  # variants in a terminal; the files have all
_FIGURES = ("svg", "png", "pdf")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a sweep showed.

    Attributes:
        sweep: the results it was made from.
        table: one row per variant.
    """

    sweep: Sweep
    table: Table

    def summary(self) -> list[str]:
        """A few sentences: what finished, how the baseline stands, what the variants did."""
        return list(self._summary)

    @cached_property
    def _summary(self) -> tuple[str, ...]:
        lines = [self._finished(), *self._machines(), self._baseline()]
        lines += self._verdicts() + self._pairing()
        lines += [self._sizes()] if self.sweep.matched else []
        lines += [self._tuning()] if self.sweep.tuned else []
        lines += [audit_line(self.sweep.audits)] if self.sweep.audits else []
        return tuple(lines)

    @property
    def task_title(self) -> str:
        """Facts are of one task: with several places that of the first."""
        places = self.sweep.places
        return f"Task, at {places[0]}" if len(places) > 1 else "Task"

    @cached_property
    def places(self) -> list[Table]:
        """The metrics at every place of `across`, a table each; none without several places."""
        return by_place(self.sweep)

    def problems(self) -> list[str]:
        """One line for every run that does not count, with the reason."""
        return list(self._problems)

    @cached_property
    def _problems(self) -> tuple[str, ...]:
        lines = ((run, run.problem(self.sweep.primary)) for run in self.sweep.runs())
        return tuple(f"{run.label}: {line}" for run, line in lines if line)

    def markdown(self) -> str:
        """The summary, the table, what went wrong, and what each variant changed."""
        sweep = self.sweep
        parts = [f"# {sweep.name}", " ".join(self.summary()), self.table.to_markdown().rstrip()]
        notes = [f"{c.title}: {c.about}." for c in self.table.columns if c.about]
        parts.append("\n".join(f"- {note}" for note in notes))
        if self.places:
            parts += ["## Places", *(table.to_markdown().rstrip() for table in self.places)]
        if problems := self.problems():
            parts += ["## Runs that do not count", "\n".join(f"- {line}" for line in problems)]
        changes = [
            f"- **{v.name}**: {text.plain(v.overrides) or 'the base'}"
            + (f" (its model has no {', '.join(v.dropped)})" if v.dropped else "")
            for v in sweep.variants
        ]
        parts += ["## Variants", "\n".join(changes)]
        if sweep.tuned:
            parts += ["## Tuning", "\n".join(f"- {line}" for line in tuning_lines(sweep))]
        if sweep.task:
            facts = [f"- {key}: {text.plain(value)}" for key, value in sweep.task.items()]
            parts += [f"## {self.task_title}", "\n".join(facts)]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """Numbers of the table, one row per variant."""
        return self.table.to_csv()

    def runs_csv(self) -> str:
        """Numbers of every run."""
        return csv_of(self.runs())

    def runs(self) -> list[dict[str, float | int | str | None]]:
        """What is known of every planned run, also of those that failed or never ran."""
        return [run_values(self.sweep, run) for run in self.sweep.runs()]

    def tex(self) -> str:
        """The table for a paper (booktabs)."""
        return self.table.to_tex()

    def rich(self, width: int | None = None) -> "RichTable":
        """The table for a terminal of so many characters; None keeps every column.

        Of very many variants the baseline and the best are shown.
        """
        names = {variant.name for variant in self.sweep.foremost(MOST_SHOWN)}
        kept = [name in names for name in (v.name for v in self.sweep.variants)]
        rows = tuple(compress(self.table.rows, kept))
        note = f"the best {len(rows)} of {len(kept)} variants" if len(rows) < len(kept) else ""
        return replace(self.table, rows=rows).to_rich(width, note)

    def html(self) -> str:
        """One page with tables and figures that needs no other file."""
        from playground.report.html import page  # draws: matplotlib is slow to import

        return page(self)

    def _finished(self) -> str:
        sweep, runs = self.sweep, list(self.sweep.runs())
        good = len(runs) - len(self._problems)
        seeds = len({run.seed for run in runs})
        variants = text.counted(len(sweep.variants), "variant")
        paired = "paired " if seeds > 1 and len(sweep.variants) > 1 else ""
        line = f"{variants} with {text.counted(seeds, f'{paired}seed')}; "
        line += f"{good} of {len(runs)} runs count."
        if len(sweep.places) < 2:
            return line
        where = text.together(sweep.places)
        return f"{line} A seed's scores are means over {len(sweep.places)} places: {where}."

    def _machines(self) -> list[str]:
        """What was computed on devices or in precisions of several kinds is told."""
        ways = Counter(run.computed for run in self.sweep.runs() if run.status == "ok")
        if len(ways) < 2:
            return []
        shown = ", ".join(f"{way or 'not kept'} ({n})" for way, n in ways.most_common())
        return [f"Runs were computed in {len(ways)} ways, and pairs may differ by that: {shown}."]

    def _baseline(self) -> str:
        sweep = self.sweep
        found = summarize(sweep.base.values(sweep.primary).values())
        measured = sorted(
            {name for run in sweep.runs() if run.status == "ok" for name in run.metrics}
        )
        if measured and sweep.primary not in measured:
            near = difflib.get_close_matches(sweep.primary, measured, 1)
            hint = f"did you mean {near[0]}?" if near else f"they have {', '.join(measured[:10])}."
            return f"No run has {sweep.primary}, the first of report.metrics; {hint}"
        if found is None:
            whole = "seed" if len(sweep.places) > 1 and sweep.base.counted(sweep.primary) else "run"
            why = "has all its places" if whole == "seed" else "counts"
            return f"No {whole} of the baseline {sweep.baseline} {why}, so nothing can be compared."
        line = f"Baseline {sweep.baseline}: {sweep.primary} {text.spread(found.mean, found.sd)}"
        floor, below = sweep.floor, below_floor(sweep, sweep.base)
        if floor is None or below is None:
            return line + "."
        name, value = floor[0], text.number(floor[1])
        line += f"; {below[0]} of {below[1]} runs below "
        if len(sweep.places) > 1:
            return f"{line}the floor of their place, {name} with a mean of {value}."
        if sweep.one_floor:
            return f"{line}the {name} floor of {value}."
        return f"{line}their own floor, such as {name} with {value}."

    def _pairing(self) -> list[str]:
        """What pairing by seed is worth."""
        sweep = self.sweep
        pairs = ((v.values(sweep.primary) for v in pair) for pair in sweep.compared)
        found = [one for one in (correlation(*pair) for pair in pairs) if one is not None]
        if not found:
            return []
        line = f"Seed by seed variants go with the baseline: mean correlation {mean(found):+.2f}"
        return [f"{line}; the higher, the narrower are paired intervals."]

    def _sizes(self) -> str:
        found = self.sweep.matched
        size = next(str(entry["size"]) for entry in found.values())
        far = [f"{name} ({entry['ratio']:.3f})" for name, entry in found.items() if not entry["ok"]]
        if not far:
            return f"All variants are as large as the baseline in {size}, within the tolerance."
        return f"Not matched with the baseline in {size}: {', '.join(far)} of its size."

    def _tuning(self) -> str:
        sweep = self.sweep
        keys = ", ".join(dict.fromkeys(key for found in sweep.tuned.values() for key in found.keys))
        line = f"Every variant at its own best {keys} by {sweep.select}, found with other seeds."
        untuned = [name for name, found in sweep.tuned.items() if not found.chosen]
        if untuned:
            line += f" But not, for nothing was found that counts: {', '.join(untuned)}."
        if failed := sum(len(found.failed) for found in sweep.tuned.values()):
            line += f" {failed} of its runs failed; a value with such a run is not taken."
        edge = [name for name, found in sweep.tuned.items() if found.edges]
        if edge:
            line += f" At the edge of its grid, so perhaps not its best: {', '.join(edge)}."
        return line

    def _verdicts(self) -> list[str]:
        sweep = self.sweep
        if not sweep.compared:
            return []
        if sweep.pairs and max(sweep.pairs) < 2:
            return [f"Compared with it{sweep.where}, one pair each: nothing is told apart."]
        verdicts = [sweep.verdict(v) for v in sweep.variants[1:] if sweep.difference(v) is not None]
        line = (
            f"Compared with it{sweep.where}, by {sweep.judged_by}: "
            f"{verdicts.count('better')} better, "
            f"{verdicts.count('worse')} worse, {verdicts.count('unclear')} not told apart."
        )
        few = sum(test.p is None for test in sweep.tests.values())
        if sweep.test == "none" or not few:
            return [line]
        return [f"{line} {few} with fewer than {MIN_PAIRS_FOR_P} pairs, too few for the test."]


def build(sweep_dir: Path | str, store_dir: Path | str) -> Report:
    """Read a sweep's folder and the run store, and compare.

    Args:
        sweep_dir: the folder with sweep.json.
        store_dir: the folder with one folder per run, named by its fingerprint.

    Raises:
        DataError: there is no sweep in that folder.
    """
    sweep = load_sweep(Path(sweep_dir), Path(store_dir))
    return Report(sweep=sweep, table=comparison(sweep))


def write(report: Report, folder: Path | str, formats: Iterable[str] = ()) -> list[Path]:
    """Write a report.

    Args:
        report: from `build`.
        folder: made if it is not there.
        formats: of md, html, csv (also runs.csv), tex, and svg, png, pdf (each figure one file);
            none means those that the sweep asks for.

    Returns:
        The files written.

    Raises:
        SpecError: an unknown format.
    """
    wanted = tuple(formats) or report.sweep.formats
    for name in wanted:
        if name not in FORMATS:
            raise SpecError("report.formats", f"{name!r} is no format.", FORMATS, found=name)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name in wanted:
        if name in _FIGURES:
            written += _write_figures(report.sweep, target, name)
            continue
        for file, content in _texts(report, name).items():
            path = target / file
            path.write_text(content, encoding="utf-8")
            written.append(path)
    return written


def _texts(report: Report, name: str) -> dict[str, str]:
    if name == "csv":
        return {"report.csv": report.csv(), "runs.csv": report.runs_csv()}
    made = {"md": report.markdown, "html": report.html, "tex": report.tex}[name]()
    return {f"report.{name}": made}


def _write_figures(sweep: Sweep, target: Path, kind: str) -> list[Path]:
    from playground.report import curves, depths, draw, pareto, timeline, tuning

    figures = {"differences": curves.differences(sweep), "curves": curves.overview(sweep)}
    figures |= {"pareto": pareto.pareto(sweep), "timeline": timeline.timeline(sweep)}
    figures["depths"] = depths.heatmaps(sweep)
    figures |= {f"tuning-{key}": tuning.sensitivity(sweep, key) for key in tuning.scales(sweep)}
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            path = target / f"{name}.{kind}"
            figure.set_facecolor("white")  # a saved figure must be readable on any page
            draw.save(figure, path, kind)
            paths.append(path)
    return paths
