"""What the scores of a run will be called, known before anything is read or trained.

A metric that no run will have is so refused at once, not after the last run. A task that a user has
registered does not say its scores: nothing is then refused.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from playground.spec import RunSpec
from playground.spec.expand import evaluations
from playground.spec.tasks import AbstractMad, Babilong, Mqar, Niah, StateTracking
from playground.tasks.niah import BINS

SPEED = "tokens_per_s"  # of every run that was trained by itself
ANSWERS = ("loss", "accuracy", "solved")

Names = tuple[str, ...]


def metrics_of(run: RunSpec) -> frozenset[str] | None:
    """The metrics of a run's result, such as "val/loss" and "test/loss@chunk_size=8".

    None where a task of it does not say them. A name may be there that no score will have, where
    only the examples can tell (needles by depth).
    """
    found = {SPEED}
    for split in ("val", "test") if run.train.score_test else ("val",):
        names = scores_of(run.task, split)
        if names is None:
            return None
        found |= {f"{split}/{name}" for name in names}
    for under, other in evaluations(run).items():
        names = scores_of(other.task, "test")
        if names is None:
            return None
        found |= {f"test/{name}@{under}" for name in names}
    return frozenset(found)


def scores_of(task: Any, split: str) -> Names | None:
    """What an evaluation of a task gives on a split, without counts; None of a task of one's own.

    Args:
        task: what a person wrote of it.
        split: "val" or "test".
    """
    said = _SCORES.get(getattr(task, "kind", ""))
    return None if said is None else said(task, split)


def _plain(*names: str) -> Callable[[Any, str], Names]:
    return lambda task, split: names


def _mad(task: AbstractMad, split: str) -> Names:
    return ANSWERS + (("micro_accuracy",) if task.protocol == "paper" else ())


def _suite(sizes: Iterable[str], split: str) -> Names:
    """Of `score_parts`: a suite is scored on test alone."""
    named = [f"{name}@{size}" for size in sizes for name in ANSWERS] if split == "test" else []
    return (*ANSWERS, *named, *(["accuracy@suite"] if named else []))


def _mqar(task: Mqar, split: str) -> Names:
    return _suite((f"{length}x{pairs}" for length, pairs in task.suite), split)


def _state_tracking(task: StateTracking, split: str) -> Names:
    return _suite(map(str, task.test_lengths), split)


def _by_length(task: Niah | Babilong, split: str) -> Names:
    """Of `score_lengths`."""
    lengths = (task.test_lengths if split == "test" else ()) or (task.length,)
    return (*ANSWERS, *(f"{name}@{length}" for length in lengths for name in ANSWERS))


def _niah(task: Niah, split: str) -> Names:
    names = _by_length(task, split)
    if task.depth is not None:
        return names
    depths = [f"d{round(100 * (part + 0.5) / BINS)}" for part in range(BINS)]
    return (*names, *(f"{n}/{d}" for n in names if n.startswith("solved") for d in depths))


_mads = ("recall", "noisy_recall", "fuzzy_recall", "selective_copy", "compression", "memorization")
_SCORES: Mapping[str, Callable[[Any, str], Names]] = MappingProxyType(
    {
        "text": _plain("loss", "bits_per_byte", "perplexity"),
        "music": _plain("loss"),
        "forecast": _plain("loss", "mse", "mae"),
        "dna": _plain(*ANSWERS),
        "mqar": _mqar,
        "state_tracking": _state_tracking,
        "niah": _niah,
        "babilong": _by_length,
        **{f"mad_{name}": _mad for name in _mads},
    }
)
