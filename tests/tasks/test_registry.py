"""Tasks are found by the kind of their spec, also a user's own."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from playground.errors import DataError
from playground.spec.tasks import TASK_SPECS, Mqar
from playground.tasks import TASKS, MqarTask, make_task, register_task, registry


def test_every_spec_has_its_task() -> None:
    assert set(TASKS) == set(TASK_SPECS)
    assert isinstance(make_task(Mqar()), MqarTask)


@dataclass(frozen=True, kw_only=True)
class Mine:
    """A user's own spec."""

    kind: ClassVar[str] = "mine"


def test_a_task_of_ones_own_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Any] = dict(TASKS)
    monkeypatch.setattr(registry, "_tasks", known)
    register_task("mine", lambda spec: MqarTask(Mqar()))
    assert make_task(Mine()).vocab == 8192
    with pytest.raises(DataError, match="exists already"):
        register_task("mine", lambda spec: MqarTask(Mqar()))


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'mine' of Mine is no known task.*mqar.*text"):
        make_task(Mine())
