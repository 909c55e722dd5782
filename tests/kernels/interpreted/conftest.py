"""These tests are collected in the interpreter's own process only; see `test_interpreter.py`."""

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


class PatchedOnce:
    """What the interpreter does to Triton's language at a launch, and not again inside of it.

    Every call of a helper would walk through the whole language once more and find it patched: a
    quarter of the interpreter's time for kernels with helpers.
    """

    def __init__(self, patch: Callable[[Any], Any]) -> None:
        self.patch = patch
        self.scopes: dict[frozenset[int], Any] = {}

    def __call__(self, function: Any) -> Any:
        modules = (m for m in function.__globals__.values() if isinstance(m, ModuleType))
        seen = frozenset(id(m) for m in modules if m.__name__.startswith("triton.language"))
        if seen not in self.scopes:
            self.scopes[seen] = self.patch(function)
        return self

    def restore(self) -> None:
        """At the end of a launch; helpers do not call it."""
        for scope in reversed(self.scopes.values()):
            scope.restore()
        self.scopes.clear()


@pytest.fixture(autouse=True, scope="session")
def patched_once() -> Iterator[None]:
    from triton.runtime import interpreter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_patch_lang", PatchedOnce(interpreter._patch_lang))
        yield


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that nobody wrote is NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
