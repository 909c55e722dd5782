"""What a person writes of a task: one frozen dataclass per kind, its fields are the YAML keys.

The data itself is made elsewhere (`playground.tasks`), from these.
"""

from collections.abc import Mapping
from types import MappingProxyType

from playground.spec.tasks.babilong import Babilong as Babilong
from playground.spec.tasks.dna import Dna as Dna
from playground.spec.tasks.mqar import Mqar as Mqar
from playground.spec.tasks.niah import Niah as Niah
from playground.spec.tasks.text import EMBEDDED_CORPORA as EMBEDDED_CORPORA
from playground.spec.tasks.text import Text as Text

TaskSpec = Text | Mqar | Niah | Babilong | Dna
_specs: dict[str, type] = {cls.kind: cls for cls in (Text, Mqar, Niah, Babilong, Dna)}
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
