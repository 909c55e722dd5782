"""What a person writes of a task: one frozen dataclass per kind, its fields are the YAML keys.

The data itself is made elsewhere (`playground.tasks`), from these.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from playground.spec.tasks.babilong import Babilong as Babilong
from playground.spec.tasks.dna import Dna as Dna
from playground.spec.tasks.forecast import Forecast as Forecast
from playground.spec.tasks.mad import AbstractMad as AbstractMad
from playground.spec.tasks.mad import MadCompression as MadCompression
from playground.spec.tasks.mad import MadFuzzyRecall as MadFuzzyRecall
from playground.spec.tasks.mad import MadMemorization as MadMemorization
from playground.spec.tasks.mad import MadNoisyRecall as MadNoisyRecall
from playground.spec.tasks.mad import MadRecall as MadRecall
from playground.spec.tasks.mad import MadSelectiveCopy as MadSelectiveCopy
from playground.spec.tasks.mqar import Mqar as Mqar
from playground.spec.tasks.music import Music as Music
from playground.spec.tasks.niah import Niah as Niah
from playground.spec.tasks.state_tracking import StateTracking as StateTracking
from playground.spec.tasks.text import EMBEDDED_CORPORA as EMBEDDED_CORPORA
from playground.spec.tasks.text import Text as Text

TaskSpec = (
    Text
    | Mqar
    | Music
    | Forecast
    | MadRecall
    | MadNoisyRecall
    | MadFuzzyRecall
    | MadSelectiveCopy
    | MadCompression
    | MadMemorization
    | StateTracking
    | Niah
    | Babilong
    | Dna
)
_specs: dict[str, type] = {cls.kind: cls for cls in get_args(TaskSpec)}
TASK_SPECS: Mapping[str, type] = MappingProxyType(_specs)


def register_task_spec(cls: type) -> type:
    """Class decorator: make the `kind` of a frozen keyword-only dataclass legal under `task`.

    Raises:
        ValueError: another class has that kind.
    """
    kind = str(getattr(cls, "kind", cls.__name__.lower()))
    if _specs.setdefault(kind, cls) is not cls:
        raise ValueError(f"kind: {kind!r} is already the task {_specs[kind].__name__}.")
    return cls
