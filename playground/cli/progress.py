"""Progress of a run or a sweep: bars on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from playground.cli.show import duration, rate, text

if TYPE_CHECKING:
    from playground.train import Event, Pace

LINE_EVERY_S = 15.0


class Bar(Protocol):
    """What a display draws on: a bar with a sentence beside it."""

    def begin(self, key: str, label: str, total: int) -> None: ...
    def move(self, key: str, done: int, note: str) -> None: ...
    def end(self, key: str) -> None: ...
    def say(self, line: str) -> None: ...


@contextmanager
def bars() -> Iterator[Bar]:
    """Bars on stderr: live on a terminal, lines otherwise."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        yield Live(progress)


class Live:
    """Bars drawn by rich."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.tasks: dict[str, Any] = {}

    def begin(self, key: str, label: str, total: int) -> None:
        """A new bar, or an old one from the start."""
        self.end(key)
        self.tasks[key] = self.progress.add_task(_plain(label), total=total, note="")

    def move(self, key: str, done: int, note: str) -> None:
        """So much is done."""
        if key in self.tasks:
            self.progress.update(self.tasks[key], completed=done, note=_plain(note))

    def end(self, key: str) -> None:
        """Take a bar away."""
        if key in self.tasks:
            self.progress.remove_task(self.tasks.pop(key))

    def say(self, line: str) -> None:
        """A line above the bars."""
        self.progress.console.print(_plain(line), highlight=False)


def _plain(words: str) -> str:
    """Text in which rich sees no markup."""
    return words.replace("[", r"\[")


class Lines:
    """Plain lines, for a log: the first of each bar, then one every so often."""

    def __init__(self) -> None:
        self.labels: dict[str, tuple[str, int]] = {}
        self.next_s: dict[str, float] = {}

    def begin(self, key: str, label: str, total: int) -> None:
        """Remember what the bar is of."""
        self.labels[key] = (label, total)
        self.next_s[key] = time.monotonic() + LINE_EVERY_S

    def move(self, key: str, done: int, note: str) -> None:
        """A line, if the last one is long ago."""
        now = time.monotonic()
        if key in self.labels and now >= self.next_s[key]:
            label, total = self.labels[key]
            self.next_s[key] = now + LINE_EVERY_S
            self.say(f"{label}  {done}/{total}  {note}")

    def end(self, key: str) -> None:
        """Forget the bar."""
        self.labels.pop(key, None)

    def say(self, line: str) -> None:
        """A line on stderr."""
        print(line, file=sys.stderr, flush=True)


class RunDisplay:
    """Shows one run."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar

    def __call__(self, event: "Event") -> None:
        """Take in one event."""
        if event.kind == "start":
            self.bar.say(f"run {event.fingerprint[:12]}")
            for name, value in event.facts.items():
                self.bar.say(f"  {name}: {text(value)}")
            self.bar.begin("train", "train", event.steps)
        elif event.kind == "step":
            self.bar.move("train", event.step, step_note(event))
        elif event.kind == "eval":
            scores = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            self.bar.say(f"step {event.step}  val {scores}")
        elif event.kind == "note":
            self.bar.say(event.text)
        elif event.kind == "test":
            if event.step == 1:
                self.bar.begin("test", "test", event.steps)
            self.bar.move("test", event.step, "")


def step_note(event: "Event", replicas: int = 1) -> str:
    """Loss of one run, speed of all replicas together, and time left."""
    loss = "-" if event.loss is None else f"{event.loss:.4f}"
    speed = None if event.tokens_per_s is None else event.tokens_per_s * replicas
    return f"loss {loss}  {rate(speed)}  left {duration(event.eta_s)}"


class Countdown:
    """For evaluations: (done, in all) as a bar."""

    def __init__(self, bar: Bar, label: str) -> None:
        self.bar, self.label = bar, label

    def __call__(self, done: int, total: int) -> None:
        """So many batches are done."""
        if done == 1:
            self.bar.begin(self.label, self.label, total)
        self.bar.move(self.label, done, "")


class PaceDisplay:
    """For one long stream: tokens as a bar, with their speed and the time left."""

    def __init__(self, bar: Bar, label: str) -> None:
        self.bar, self.label, self.begun = bar, label, False

    def __call__(self, pace: "Pace") -> None:
        """So many tokens are read."""
        if not self.begun:
            self.bar.begin(self.label, self.label, pace.total)
            self.begun = True
        note = f"{rate(pace.tokens_per_s)}  left {duration(pace.eta_s)}"
        self.bar.move(self.label, pace.tokens, note)
