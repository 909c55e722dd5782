"""Scores of a trained model, how they were asked for, and how they are shown."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.options import check_figure
from playground.cli.progress import Countdown, PaceDisplay, bars
from playground.cli.show import print_json, print_pairs, rate, size
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.cli.find import Found
    from playground.train import Mark


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of an evaluation; see `playground.evaluate`."""

    split: str = "test"
    freeze_memory: bool = False
    length: int | None = None
    batches: int | None = None
    by_position: bool = False


def given(asked: Asked, figure: Path | None) -> list[str]:
    """The options that were given."""
    plain = Asked()
    names = [name for name, value in asdict(asked).items() if value != getattr(plain, name)]
    names += [] if figure is None else ["figure"]
    return [f"--{name.replace('_', '-')}" for name in names]


def refuse(options: list[str], why: str) -> None:
    """Refuse options that were given and would have no effect."""
    if options:
        raise PlaygroundError(f"{', '.join(options)}: {why}. Leave it out.")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What it gave: scores by name, and marks at powers of two of a long sequence."""

    scores: dict[str, float]
    marks: "list[Mark]" = field(default_factory=list)


def score(found: "Found", asked: Asked) -> Scored:
    """Carry an evaluation out, with a bar of its batches or, of a long one, its tokens."""
    from playground.train import Meter, evaluate, pick_device

    with bars() as bar:
        meter, progress = None, Countdown(bar, asked.split)
        if asked.length is not None:
            one = found.spec.task.kind == "text"  # one stream, else as many as there are batches
            tell = PaceDisplay(bar, asked.split) if one else None
            meter = Meter(asked.length, pick_device(found.spec.device), tell=tell)
            progress = None if one else progress
        scores = evaluate(
            found.folder,
            spec=found.spec,
            progress=progress,
            meter=meter,
            **asdict(asked),
        )
    return Scored(scores=scores, marks=[] if meter is None else meter.marks)


def facts(found: "Found", asked: Asked, scored: Scored, *, plain: bool = True) -> dict[str, Any]:
    """Everything by name; plain: as data, else for people."""
    named = {f"{asked.split}/{name}": value for name, value in scored.scores.items()}
    if plain:
        marks = [asdict(mark) for mark in scored.marks]
        about = {"folder": str(found.folder), "freeze_memory": asked.freeze_memory}
        return {**about, **named, **({"stream": marks} if marks else {})}
    shown: dict[str, Any] = {"model": found.folder, "memory frozen": asked.freeze_memory, **named}
    repeats = scored.scores.get("repeats", 0.0)
    if repeats > 1:
        shown["text"] = f"the {asked.split} split read {repeats:.1f} times over"
    for mark in scored.marks:
        shown[f"after {mark.tokens:,} tokens"] = (
            f"{rate(mark.tokens_per_s)}  peak {size(mark.peak_bytes)}B  "
            f"state {mark.state_bytes:,} bytes"
        )
    return shown


def show(found: "Found", asked: Asked, figure: Path | None, json: bool) -> None:
    """Carry an evaluation out, draw it where asked, and print it."""
    from playground.tasks import SPLITS

    if asked.split not in SPLITS:
        raise PlaygroundError(f"--split: {asked.split!r} is none. Write val, test or train.")
    if figure is not None:
        _check_figure(figure, asked)
    scored = score(found, asked)
    if json:
        print_json(facts(found, asked, scored))
    else:
        print_pairs(facts(found, asked, scored, plain=False))
    if figure is not None:  # last: the numbers took long and are not lost with it
        _draw(scored, figure)


def _check_figure(file: Path, asked: Asked) -> None:
    check_figure(file)
    if asked.length is None and not asked.by_position:
        raise PlaygroundError("--figure: there is nothing to draw. Add --length or --by-position.")


def _draw(scored: Scored, file: Path) -> None:
    from playground.report.draw import PAPER, save
    from playground.report.streams import figure

    drawn = figure([asdict(mark) for mark in scored.marks], scored.scores, PAPER)
    if drawn is None:
        raise PlaygroundError("--figure: there is nothing to draw. Write a --length above 1,024.")
    drawn.set_facecolor("white")
    with file.open("wb") as out:
        save(drawn, out, file.suffix.removeprefix("."))
