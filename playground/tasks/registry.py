"""Task kinds and the classes that make them; a spec class finds its task by its `kind`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from playground.errors import DataError
from playground.tasks.babilong import BabilongTask
from playground.tasks.base import Task
from playground.tasks.dna import DnaTask
from playground.tasks.forecast import ForecastTask
from playground.tasks.mad import (
    MadCompressionTask,
    MadFuzzyRecallTask,
    MadMemorizationTask,
    MadNoisyRecallTask,
    MadRecallTask,
    MadSelectiveCopyTask,
)
from playground.tasks.mqar import MqarTask
from playground.tasks.music import MusicTask
from playground.tasks.niah import NiahTask
from playground.tasks.state_tracking import StateTrackingTask
from playground.tasks.text import TextTask

_tasks: dict[str, Callable[[Any], Task]] = {
    "text": TextTask,
    "mqar": MqarTask,
    "music": MusicTask,
    "forecast": ForecastTask,
    "mad_recall": MadRecallTask,
    "mad_noisy_recall": MadNoisyRecallTask,
    "mad_fuzzy_recall": MadFuzzyRecallTask,
    "mad_selective_copy": MadSelectiveCopyTask,
    "mad_compression": MadCompressionTask,
    "mad_memorization": MadMemorizationTask,
    "state_tracking": StateTrackingTask,
    "niah": NiahTask,
    "babilong": BabilongTask,
    "dna": DnaTask,
}

TASKS: Mapping[str, Callable[[Any], Task]] = MappingProxyType(_tasks)


def register_task(kind: str, make: Callable[[Any], Task]) -> None:
    """Make specs whose `kind` is `kind` usable: `make(spec)` is their task.

    Raises:
        DataError: the kind is taken.
    """
    if kind in _tasks:
        raise DataError(f"task.kind {kind!r}", "it exists already.", "Choose another name.")
    _tasks[kind] = make


def make_task(spec: Any) -> Task:
    """The task a spec describes.

    Args:
        spec: an object with a `kind`, such as `playground.spec.tasks.Text`.

    Raises:
        DataError: no task of that kind, or data that cannot be used.
    """
    kind = getattr(spec, "kind", None)
    if kind not in _tasks:
        raise DataError(
            "task.kind",
            f"{kind!r} of {type(spec).__name__} is no known task.",
            f"Use one of {', '.join(sorted(_tasks))}, or register_task.",
        )
    return _tasks[kind](spec)
