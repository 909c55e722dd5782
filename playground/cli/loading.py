"""A spec as a call means it, and what is said of one that is given to the wrong verb."""

from pathlib import Path

from playground.errors import PlaygroundError, SpecError
from playground.spec import BenchSpec, ModelSpec, RunSpec, SearchSpec, SweepSpec, load, load_run

VERBS = {"model": "train", "run": "train", "sweep": "sweep", "search": "search", "bench": "bench"}
# What a run has and a model has not: a word of it makes a model's file a run, as for `train`.
OF_RUNS = RunSpec.__dataclass_fields__.keys() - ModelSpec.__dataclass_fields__.keys() - {"model"}


def load_asked(
    path: Path, words: list[str]
) -> ModelSpec | RunSpec | SweepSpec | SearchSpec | BenchSpec:
    """A spec; a model with words of a run, such as task.kind=text, is that run.

    Raises:
        SpecError: as `load`.
    """
    if any(first_part(word) in OF_RUNS for word in words) and is_model(path):
        return load_run(path, *words)
    return load(path, *words)


def is_model(path: Path) -> bool:
    """Whether a file is of a model that can be used as it is."""
    try:
        return isinstance(load(path), ModelSpec)
    except SpecError:
        return False


def first_part(word: str) -> str:
    """The field that a word is of, such as task in task.kind=text."""
    return word.partition("=")[0].partition(".")[0]


def wrong_kind(path: Path, kind: str, wanted: str, *, retry: bool = False) -> PlaygroundError:
    """The error of a verb that takes specs of another kind: it names the right one."""
    verb = f"playground {VERBS[kind]}" + (" --retry" if retry else "")
    return PlaygroundError(f"{path}: is of kind {kind}. Name a {wanted}, or use `{verb}`.")
