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
    from playground.compile import first_form as first_form
    from playground.compile import require_compiler as require_compiler
    from playground.compile import scan as scan
    from playground.errors import DataError as DataError
    from playground.errors import LoweringError as LoweringError
    from playground.errors import PlaygroundError as PlaygroundError
    from playground.errors import RunFailed as RunFailed
    from playground.errors import SpecError as SpecError
    from playground.report.stats import direction as direction
    from playground.spec import SEARCH_SEED as SEARCH_SEED
    from playground.spec import BaseSpec as BaseSpec
    from playground.spec import BenchRule as BenchRule
    from playground.spec import BenchSpec as BenchSpec
    from playground.spec import EngineSpec as EngineSpec
    from playground.spec import Forecast as Forecast
    from playground.spec import LayersSpec as LayersSpec
    from playground.spec import MatchSpec as MatchSpec
    from playground.spec import ModelSpec as ModelSpec
    from playground.spec import Mqar as Mqar
    from playground.spec import Music as Music
    from playground.spec import OptimSpec as OptimSpec
    from playground.spec import RangeSpec as RangeSpec
    from playground.spec import RungSpec as RungSpec
    from playground.spec import RunSpec as RunSpec
    from playground.spec import SearchSpec as SearchSpec
    from playground.spec import SweepRun as SweepRun
    from playground.spec import SweepSpec as SweepSpec
    from playground.spec import Text as Text
    from playground.spec import TrainSpec as TrainSpec
    from playground.spec import VariantSpec as VariantSpec
    from playground.spec import convert as convert
    from playground.spec import fingerprint as fingerprint
    from playground.spec import fingerprints as fingerprints
    from playground.spec import fitting as fitting
    from playground.spec import load as load
    from playground.spec import load_model as load_model
    from playground.spec import load_run as load_run
    from playground.spec import override as override
    from playground.spec import scored as scored
    from playground.spec import to_dict as to_dict
    from playground.spec import to_yaml as to_yaml
    from playground.tasks import SAME_AS_VAL as SAME_AS_VAL
    from playground.tasks import Task as Task
    from playground.tasks import make_task as make_task
    from playground.train import Event as Event
    from playground.train import Result as Result
    from playground.train import RunBusy as RunBusy
    from playground.train import RunFolder as RunFolder
    from playground.train import RunInterrupted as RunInterrupted
    from playground.train import RunStore as RunStore
    from playground.train import evaluate as evaluate
    from playground.train import export as export
    from playground.train import generate as generate
    from playground.train import pick_device as pick_device
    from playground.train import record_failure as record_failure
    from playground.train import restore as restore
    from playground.train import stack_key as stack_key
    from playground.train import train as train
    from playground.train import train_together as train_together
    from playground.train.costs import costs_of_run as costs_of_run
    from playground.train.costs import costs_of_spec as costs_of_spec
    from playground.train.costs import params_of_spec as params_of_spec

NAMES = {
    "SEARCH_SEED": "playground.spec",
    "SearchSpec": "playground.spec",
    "RungSpec": "playground.spec",
    "RangeSpec": "playground.spec",
    "BaseSpec": "playground.spec",
    "BenchRule": "playground.spec",
    "BenchSpec": "playground.spec",
    "DataError": "playground.errors",
    "EngineSpec": "playground.spec",
    "Event": "playground.train",
    "Forecast": "playground.spec",
    "Inputs": "memory_rules",
    "LayersSpec": "playground.spec",
    "LoweringError": "playground.errors",
    "MatchSpec": "playground.spec",
    "ModelSpec": "playground.spec",
    "Mqar": "playground.spec",
    "Music": "playground.spec",
    "OptimSpec": "playground.spec",
    "PlaygroundError": "playground.errors",
    "RULES": "memory_rules",
    "Result": "playground.train",
    "SAME_AS_VAL": "playground.tasks",
    "RunBusy": "playground.train",
    "RunFailed": "playground.errors",
    "RunFolder": "playground.train",
    "RunInterrupted": "playground.train",
    "RunSpec": "playground.spec",
    "RunStore": "playground.train",
    "SpecError": "playground.errors",
    "State": "memory_rules",
    "SweepRun": "playground.spec",
    "SweepSpec": "playground.spec",
    "Task": "playground.tasks",
    "Text": "playground.spec",
    "TrainSpec": "playground.spec",
    "VariantSpec": "playground.spec",
    "build": "playground.compile",
    "compile": "playground.compile",
    "convert": "playground.spec",
    "direction": "playground.report.stats",
    "costs_of_run": "playground.train.costs",
    "costs_of_spec": "playground.train.costs",
    "params_of_spec": "playground.train.costs",
    "evaluate": "playground.train",
    "export": "playground.train",
    "fingerprint": "playground.spec",
    "first_form": "playground.compile",
    "fingerprints": "playground.spec",
    "generate": "playground.train",
    "load": "playground.spec",
    "load_model": "playground.spec",
    "load_run": "playground.spec",
    "make_task": "playground.tasks",
    "fitting": "playground.spec",
    "override": "playground.spec",
    "pick_device": "playground.train",
    "record_failure": "playground.train",
    "require_compiler": "playground.compile",
    "restore": "playground.train",
    "scan": "playground.compile",
    "scored": "playground.spec",
    "to_dict": "playground.spec",
    "to_yaml": "playground.spec",
    "stack_key": "playground.train",
    "train": "playground.train",
    "train_together": "playground.train",
}

__version__ = "0.1.0"


class _Playground(ModuleType):
    """This package: a subpackage never hides the public function of its name.

    Importing `playground.compile` makes Python set that attribute to the subpackage. The public
    `compile` is the function inside it; the subpackage stays reachable by `from playground.compile
    import ...`. A function that names this package can be sent to another process.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return import_module, (self.__name__,)

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
