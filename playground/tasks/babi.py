"""bAbI (arXiv:1502.05698): its files, a small world that makes such stories, and the scoring.

A file numbers the lines of a story from 1 on; a line is a fact, or a question with its answer and
the numbers of the facts it rests on, tabs between them.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from playground.errors import DataError
from playground.tasks.counter import below, draws

GENERATOR = "babi-1"  # part of the data's identity: raise it when other stories are made
STORIES = {"train": 2000, "test": 200}  # of the generated world, with 5 questions each
HELD_OUT = 10  # one story in so many of the train file is for val
_PEOPLE = ("Mary", "John", "Sandra", "Daniel")
_PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
_MOVES = ("moved", "went", "went back", "journeyed", "travelled")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question with all facts of its story before it."""

    facts: tuple[str, ...]
    text: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The questions of the three splits; val is every tenth story of the train file."""

    splits: dict[str, tuple[Question, ...]]

    def labels(self) -> tuple[str, ...]:
        """All answers of the train split, sorted."""
        return tuple(sorted({question.answer for question in self.splits["train"]}))


def load_questions(facts: str, folder: Path | None, number: int) -> Questions:
    """The questions of bAbI's task `number`.

    Args:
        facts: as it was written, for errors.
        folder: of the files; None for the generated world.
        number: 1 to 20.

    Raises:
        DataError: a file is missing, there are two of it, or a line cannot be read.
    """
    if folder is None:
        texts = {split: generated(split) for split in STORIES}
    else:
        texts = {split: _text(_file(folder, number, split, facts)) for split in STORIES}
    return _parsed(texts["train"], texts["test"], facts)


def _file(folder: Path, number: int, split: str, facts: str) -> Path:
    found = sorted(folder.glob(f"qa{number}_*_{split}.txt"))
    if len(found) != 1:
        raise DataError(
            f"task.facts {facts}",
            f"it has {len(found) or 'no'} files qa{number}_*_{split}.txt.",
            "Name a folder of bAbI's files, such as babi/en-10k, or write facts: generated.",
        )
    return found[0]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fix = "Name a folder of bAbI's own files."
        raise DataError(f"task.facts {file}", f"it cannot be read ({error}).", fix) from error


@lru_cache(maxsize=4)
def _parsed(train: str, test: str, facts: str) -> Questions:
    stories = _stories(train, facts)
    split = {
        "train": [s for i, s in enumerate(stories) if i % HELD_OUT != HELD_OUT - 1],
        "val": stories[HELD_OUT - 1 :: HELD_OUT],
        "test": _stories(test, facts),
    }
    return Questions(
        splits={name: tuple(q for story in part for q in story) for name, part in split.items()}
    )


def _stories(text: str, where: str) -> list[list[Question]]:
    """Every story's questions."""
    stories: list[list[Question]] = []
    facts: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        index, _, rest = line.strip().partition(" ")
        if not index.isdigit() or not rest:
            raise DataError(
                f"task.facts {where}",
                f"line {number} ({line[:40]!r}) has no number and text.",
                "Name a folder of bAbI's own files.",
            )
        if index != "1" and not stories:
            raise DataError(
                f"task.facts {where}",
                f"it begins with line {index} of a story, not with its first.",
                "Name a folder of bAbI's own files.",
            )
        if index == "1":
            facts = []
            stories.append([])
        if "\t" in rest:
            question, answer = rest.split("\t")[:2]
            made = Question(facts=tuple(facts), text=question.strip(), answer=answer.strip())
            stories[-1].append(made)
        else:
            facts.append(rest.strip())
    return stories


@lru_cache(maxsize=2)
def generated(split: str) -> str:
    """Stories like those of qa1: people go to places; where are they? As bAbI writes its files."""
    lines: list[str] = []
    raw = draws(GENERATOR, 0, split, 0, STORIES[split], 5 * 7)
    for story in raw:
        at: dict[str, str] = {}
        for turn in range(5):
            drawn = story[turn * 7 : turn * 7 + 7]
            for fact in (0, 1):
                who, move, place = (
                    names[int(below(drawn[3 * fact + i : 3 * fact + i + 1], len(names))[0])]
                    for i, names in enumerate((_PEOPLE, _MOVES, _PLACES))
                )
                lines.append(f"{3 * turn + fact + 1} {who} {move} to the {place}.")
                at[who] = place
            known = sorted(at)
            who = known[int(below(drawn[6:], len(known))[0])]
            lines.append(f"{3 * turn + 3} Where is {who}? \t{at[who]}\t1")
    return "\n".join(lines) + "\n"


def says(output: str, answer: str, question: str, labels: Collection[str]) -> bool:
    """BABILong's scoring (arXiv:2406.10149) of what a model says.

    Right is an output whose first sentence names the answer and no other label; labels that the
    question names do not count. An answer of several labels, with commas, needs them all.
    """
    first = set(_WORD.findall(output.lower().partition(".")[0]))
    asked = set(_WORD.findall(question.lower()))
    every = {part for label in labels for part in label.lower().split(",")}
    return (first & every) - asked == set(answer.lower().split(","))
