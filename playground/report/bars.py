"""Bars of the page: what a number is held against, and what became of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from playground.report import text
from playground.report.page import Asked, Page, Section
from playground.report.records import Record
from playground.report.samples import Samples, rows_of
from playground.report.stats import interval
from playground.report.table import Cell, Column, Table

NOT_RUN = "not run yet"
COSTS = {"params": text.count, "tokens": text.count, "state_bytes": text.memory}
MORE_DIGITS = range(5)  # than a column has, where rounding would hide a verdict

Records = Mapping[str, Record]


@dataclass(frozen=True, kw_only=True)
class Held:
    """A bar beside the numbers of its experiment.

    Attributes:
        values: per seed and fold; of a command one. Of a ratio that of the two, which is no
            number where the lower one is zero.
        wanted: how many there would be; 0 for a command.
    """

    bar: Asked
    section: Section
    values: tuple[float, ...]
    wanted: int

    @property
    def limit(self) -> float:
        """The number of the bar."""
        return (self.bar.most or 0.0) if self.bar.least is None else self.bar.least

    @property
    def met(self) -> bool:
        """Whether the mean is enough; it is not where a ratio is no number."""
        found = mean(self.values)
        return found <= self.limit if self.bar.least is None else found >= self.limit

    def unclear(self) -> bool:
        """Whether the bar lies within the interval of the mean, from three samples on."""
        ends = interval(dict(enumerate(self.values)))
        if len(self.values) < 3 or ends is None or ends.low is None or ends.high is None:
            return False
        return ends.low < self.limit < ends.high

    def verdict(self) -> str:
        """What became of it, in words."""
        if not self.values:
            return NOT_RUN
        count = len(self.values)
        short = f", {count} of {self.wanted} samples run" if count < self.wanted else ""
        nothing = sum(map(math.isnan, self.values))
        of_nothing = f", {nothing} of {count} of nothing" if nothing else ""
        inside = ", inside the 95 % interval" if self.unclear() else ""
        return ("met" if self.met else "not met") + short + of_nothing + inside

    def reached(self) -> str:
        """The mean, with as many digits as it takes to see why a bar was missed."""
        numbers = [value for value in self.values if not math.isnan(value)]
        if not numbers:
            return ""
        found = mean(numbers)
        pairs = ((self.number(found, more), self.number(self.limit, more)) for more in MORE_DIGITS)
        apart = (said for said, limit in pairs if said != limit)
        return self.number(found) if self.met else next(apart, self.number(found))

    def says(self) -> str:
        """What was asked."""
        way = "at most" if self.bar.least is None else "at least"
        titles = {one.metric: one.title or one.metric for one in self.section.shown}
        names = [titles.get(m, m) for m in (self.bar.metric, self.bar.over) if m]
        of = self._title(self.bar.of)
        if self.bar.against:
            of += f" / {self._title(self.bar.against)}"
        why = f" ({self.bar.why})" if self.bar.why else ""
        return f"{of}, {' / '.join(names)} {way} {self.number(self.limit)}{why}"

    def _title(self, name: str) -> str:
        return self.section.experiments[name].title or name

    def number(self, value: float, more: int = 0) -> str:
        """In the unit of the metric's column, with more digits than it has; a ratio as it is."""
        if self.bar.over or self.bar.against:
            return f"{value:.{3 + more}f}"
        if self.bar.metric == "wall_s":
            return f"{value:.{more}f} s" if more else minutes(value)
        if self.bar.metric in COSTS:
            return f"{value:,.{more - 1}f}" if more else COSTS[self.bar.metric](value)
        shown = next((one for one in self.section.shown if one.metric == self.bar.metric), None)
        if shown is None:
            return f"{value:.{4 + more}g}"
        return f"{value * shown.scale:,.{shown.decimals + more}f}"


def held(bar: Asked, section: Section, records: Records) -> Held:
    """A bar beside what the records have.

    Args:
        bar: of the section.
        section: where it stands.
        records: by name.
    """
    values = _values(bar, section, records)
    one, record = section.experiments[bar.of], records.get(bar.of)
    wanted = rows_of(bar.of, one, record)[-1].wanted if one.verb == "train" else 0
    return Held(bar=bar, section=section, values=tuple(values), wanted=wanted)


def _values(bar: Asked, section: Section, records: Records) -> Sequence[float]:
    found = _samples(bar.of, bar.metric, section, records)
    if bar.over:
        below = _samples(bar.of, bar.over, section, records)
        return [_ratio(found[at], below[at]) for at in found if at in below]
    if bar.against:
        below = _samples(bar.against, bar.metric, section, records)
        return [_ratio(mean(found.values()), mean(below.values()))] if found and below else []
    return list(found.values())


def _ratio(above: float, below: float) -> float:
    """What is kept of nothing is no number, so that no bar is met by it."""
    return above / below if below else float("nan")


def _samples(name: str, metric: str, section: Section, records: Records) -> Samples:
    """A value per seed and fold; of a command that of its last row."""
    record = records.get(name)
    if record is not None and record.rows:
        value = record.rows[-1].get(metric)
        return {(): float(value)} if isinstance(value, int | float) else {}
    return rows_of(name, section.experiments[name], record)[-1].samples(metric)


def lines(section: Section, records: Records) -> Iterator[str]:
    """A line for every bar of a section."""
    for one in (held(bar, section, records) for bar in section.asked):
        reached = f", {found}" if (found := one.reached()) else ""
        yield f"- bar: {one.says()}: **{one.verdict()}**{reached}"


def overview(page: Page, records: Records) -> str:
    """Every bar of the page with what became of it; empty if there is none."""
    rows = [
        tuple(Cell(text=cell) for cell in (s.title, one.says(), one.reached(), one.verdict()))
        for s in page.sections
        for one in (held(bar, s, records) for bar in s.asked)
    ]
    if not rows:
        return ""
    columns = tuple(Column(title=t, left=True) for t in ("section", "bar", "ours", "met"))
    return Table(title="", columns=columns, rows=tuple(rows)).to_markdown().rstrip()


def minutes(seconds: float) -> str:
    """Seconds as 1:05 minutes."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
