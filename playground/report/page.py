"""What a person writes of the page of results: sections, experiments, published numbers, bars."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

import yaml

from playground.errors import SpecError
from playground.spec import convert
from playground.spec.require import require
from playground.spec.run import Scalar

Choices = Mapping[str, tuple[Scalar, ...]]

_VERBS = {"sweeps": "sweep", "searches": "search", "benches": "bench"}


def _none() -> dict[str, tuple[Scalar, ...]]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One command, its seeds, and under which name its record is kept.

    Raises:
        SpecError: it names neither a spec nor a command, or both.
    """

    title: str = ""  # of its row; the name if empty
    spec: str = ""  # a run, sweep or bench, relative to the repository
    command: str = ""  # of what is not trained here: its JSON output is the record
    words: tuple[str, ...] = ()  # overrides behind the spec
    seeds: tuple[int, ...] = (0, 1, 2)
    folds: Choices = field(default_factory=_none)  # every value is one more sample
    parts: Choices = field(default_factory=_none)  # every value is a row; their mean is one too
    earlier: str = ""  # why its record is of an earlier form of the spec
    columns: Mapping[str, str] = field(default_factory=dict[str, str])  # of output: key -> title

    def __post_init__(self) -> None:
        fix = "Write spec: specs/tasks/NAME.yaml, or command: playground eval ..."
        one = (self.spec == "") != (self.command == "")
        require(one, "spec", "an experiment has one of spec and command.", fix)
        fix = "Write for example seeds: [0, 1, 2]."
        require(bool(self.seeds), "seeds", "it is empty.", fix)

    @property
    def verb(self) -> str:
        """What carries it out: train, sweep, search or bench; empty for a command."""
        return _VERBS.get(Path(self.spec).parent.name, "train") if self.spec else ""

    def said(self) -> str:
        """The command, without a seed."""
        if not self.spec:
            return self.command
        return " ".join([f"playground {self.verb}", self.spec, *map(_quoted, self.words)])

    def points(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of folds and parts: dotted key -> value."""
        choices = {**self.parts, **self.folds}
        for values in product(*choices.values()):
            yield dict(zip(choices, values, strict=True))


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set("[]{} ") else word


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A column of numbers."""

    metric: str  # as a result names it, or params, state_bytes, tokens, steps, wall_s
    title: str = ""
    scale: float = 1.0  # 100 for per cent
    decimals: int = 4


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A row that is not ours: a published number, or a floor.

    `values` holds it as it is printed there; `floors` names one that every run measures itself.
    """

    what: str
    source: str = ""
    values: Mapping[str, str] = field(default_factory=dict[str, str])  # metric -> text
    floors: Mapping[str, str] = field(default_factory=dict[str, str])  # metric -> name of a floor


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked of a mean over seeds: at most or at least so much, of one metric or a ratio.

    Of a command it is asked of the last row of its output.

    Raises:
        SpecError: not one of `most` and `least`.
    """

    of: str  # the experiment
    metric: str
    over: str = ""  # the metric it is divided by
    against: str = ""  # the experiment by whose value of this metric it is divided
    most: float | None = None
    least: float | None = None
    why: str = ""

    def __post_init__(self) -> None:
        one = (self.most is None) != (self.least is None)
        require(one, "most", "a bar has one of most and least.", "Write most: 1.6.")
        one = not (self.over and self.against)
        require(one, "over", "a bar has one of over and against.", "Keep one of the two.")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure: depth over length of needles, quality over a cost, or marks of a long stream.

    `depths` takes experiments of one spec (the mean over runs), `cost` one sweep, `stream` one
    command.
    """

    kind: Literal["depths", "cost", "stream"]
    of: tuple[str, ...]  # experiments of the section
    title: str  # what it shows, for who cannot see it

    def __post_init__(self) -> None:
        good = len(self.of) == 1 or (self.kind == "depths" and bool(self.of))
        problem = f"{self.kind} cannot be drawn of {len(self.of)} experiments."
        require(good, "of", problem, "Write of: [NAME]; depths take several.")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A task or study of the page."""

    title: str
    about: str
    experiments: Mapping[str, Experiment] = field(default_factory=dict[str, Experiment])
    shown: tuple[Shown, ...] = ()
    beside: tuple[Beside, ...] = ()
    asked: tuple[Asked, ...] = ()
    figures: Mapping[str, Drawn] = field(default_factory=dict[str, Drawn])  # by name of the file
    published: str = ""  # Markdown, where published numbers have columns of their own
    notes: str = ""  # Markdown below all

    def __post_init__(self) -> None:
        named = [(f"asked.{i}.of", bar.of) for i, bar in enumerate(self.asked)]
        named += [(f"asked.{i}.against", b.against) for i, b in enumerate(self.asked) if b.against]
        named += [(f"figures.{name}.of", of) for name, one in self.figures.items() for of in one.of]
        for path, name in named:
            if name not in self.experiments:
                problem = f"{name!r} is none of the experiments."
                raise SpecError(path, problem, self.experiments, name)
        for i, bar in enumerate(self.asked):
            single = self.experiments[bar.of].verb in ("", "train")
            problem = f"{bar.of!r} is no run and no command: its report has the verdicts."
            require(single, f"asked.{i}.of", problem, "Name another.")


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole page, section by section."""

    title: str
    about: str
    sections: tuple[Section, ...]
    findings: str = ""  # Markdown before the sections: what they say together

    def experiments(self) -> dict[str, Experiment]:
        """All experiments by name."""
        return {n: one for section in self.sections for n, one in section.experiments.items()}

    def __post_init__(self) -> None:
        names = [name for section in self.sections for name in section.experiments]
        for name in names:
            problem = f"{name!r} is the name of two experiments."
            require(names.count(name) == 1, "sections", problem, "Rename one.")


def load_page(file: Path) -> Page:
    """The page that a YAML file describes.

    Raises:
        SpecError: it cannot be read, or is no page.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        problem = f"cannot be read ({' '.join(str(error).split())})."
        raise SpecError(str(file), problem, fix="Write it as docs/results/page.yaml.") from None
    try:
        return convert(Page, raw)
    except SpecError as error:
        raise error.under("", str(file)) from None
