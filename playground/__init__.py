"""A playground for sequence models that learn at test time.

Every public name is imported when it is first touched, so that importing this package is cheap
and needs no torch.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from playground._siblings import check_siblings

if TYPE_CHECKING:
    from memory_rules import RULES as RULES
    from memory_rules import Inputs as Inputs
    from memory_rules import State as State
    from playground.compile import build as build
    from playground.compile import compile as compile
    from playground.compile import scan as scan
    from playground.errors import DataError as DataError
    from playground.errors import LoweringError as LoweringError
    from playground.errors import PlaygroundError as PlaygroundError
    from playground.errors import RunFailed as RunFailed
    from playground.errors import SpecError as SpecError
    from playground.spec import BaseSpec as BaseSpec
    from playground.spec import LayersSpec as LayersSpec
    from playground.spec import ModelSpec as ModelSpec
    from playground.spec import Mqar as Mqar
    from playground.spec import OptimSpec as OptimSpec
    from playground.spec import RunSpec as RunSpec
    from playground.spec import SweepSpec as SweepSpec
    from playground.spec import Text as Text
    from playground.spec import TrainSpec as TrainSpec
    from playground.spec import VariantSpec as VariantSpec
    from playground.spec import fingerprint as fingerprint
    from playground.spec import load as load
    from playground.spec import load_model as load_model
    from playground.spec import load_run as load_run
    from playground.spec import to_yaml as to_yaml

NAMES = {
    "BaseSpec": "playground.spec",
    "DataError": "playground.errors",
    "Inputs": "memory_rules",
    "LayersSpec": "playground.spec",
    "LoweringError": "playground.errors",
    "ModelSpec": "playground.spec",
    "Mqar": "playground.spec",
    "OptimSpec": "playground.spec",
    "PlaygroundError": "playground.errors",
    "RULES": "memory_rules",
    "RunFailed": "playground.errors",
    "RunSpec": "playground.spec",
    "SpecError": "playground.errors",
    "State": "memory_rules",
    "SweepSpec": "playground.spec",
    "Text": "playground.spec",
    "TrainSpec": "playground.spec",
    "VariantSpec": "playground.spec",
    "build": "playground.compile",
    "compile": "playground.compile",
    "fingerprint": "playground.spec",
    "load": "playground.spec",
    "load_model": "playground.spec",
    "load_run": "playground.spec",
    "scan": "playground.compile",
    "to_yaml": "playground.spec",
}

__version__ = "0.1.0"


class _Playground(ModuleType):
    """This package: a subpackage never hides the public function of its name.

    Importing `playground.compile` makes Python set that attribute to the subpackage. The public
    `compile` is the function inside it; the subpackage stays reachable by `from playground.compile
    import ...`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in NAMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    if name not in NAMES:
        raise AttributeError(f"module 'playground' has no attribute {name!r}")
    value = getattr(import_module(NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES})


sys.modules[__name__].__class__ = _Playground
check_siblings(Path(__file__).parent)
