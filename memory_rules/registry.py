"""Names of rules: `RULES["titans"]`; a rule of one's own from a file or an entry point."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType
from typing import TypeVar

from memory_rules.base import AbstractMemoryRule
from memory_rules.facts import RuleError, check_facts

Rule = type[AbstractMemoryRule]
ENTRY_POINT = "playground.memory_rules"


class _Registry(Mapping[str, Rule]):
    """Kind -> class; entry points of other distributions are looked up when first asked for."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._scanned = False

    def _all(self) -> dict[str, Rule]:
        if not self._scanned:
            for point in entry_points(group=ENTRY_POINT):
                self._plug_in(point)
            self._scanned = True
        return self._rules

    def _plug_in(self, point: EntryPoint) -> None:
        try:
            self.add(point.name, point.load())
        except Exception as error:  # anything can go wrong while a stranger's module runs
            what = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
            package = f" of the package {point.dist.name}" if point.dist else ""
            raise RuleError(
                f"the rule {point.name} = {point.value}{package} cannot be plugged in: {what} "
                "Mend that package or uninstall it."
            ) from error

    def add(self, kind: str, rule: Rule) -> None:
        known = self._rules.get(kind)
        if known is not None and known is not rule:
            raise ValueError(f"kind: {kind!r} is already the rule {known.__qualname__}.")
        self._rules[kind] = rule

    def __getitem__(self, kind: str) -> Rule:
        return self._all()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


_registry = _Registry()
RULES: Mapping[str, Rule] = _registry
_loading: list[Path] = []  # not empty while a user's file runs: its rules are not made global
_loaded: dict[tuple[Path, str], Rule] = {}

R = TypeVar("R", bound=Rule)


def register(kind: str, *, paper: str) -> Callable[[R], R]:
    """Class decorator: give a rule its name and its source (`paper="arXiv:2501.00663"`)."""

    def name(rule: R) -> R:
        rule.kind, rule.paper = kind, paper
        if not _loading:
            check_facts(rule)
            _registry.add(kind, rule)
        return rule

    return name


def rule_file(reference: str) -> tuple[Path, str]:
    """Split `path/to/file.py:Name` into the file and the name."""
    file, _, name = reference.rpartition(":")
    if not file or not name:
        raise ValueError(f"kind: {reference!r} does not read like path/to/file.py:ClassName.")
    return Path(file), name


def file_sha(path: Path) -> str:
    """sha256 of a rule file: part of the identity of every run that uses it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_rule(reference: str) -> Rule:
    """The rule class that `path/to/file.py:Name` names.

    Raises:
        ValueError: the file is missing, fails to run, or holds no rule of that name.
        RuleError: a fact of the rule is none of its words.
    """
    path, name = rule_file(reference)
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ValueError(f"kind: there is no file {path}.")
    if path.suffix != ".py":
        raise ValueError(f"kind: {path} is not a Python file.")
    key = (path, f"{file_sha(path)}:{name}")
    if key not in _loaded:
        _loaded[key] = _run_file(path, name)
    return _loaded[key]


class _Fresh(SourceFileLoader):
    """Runs what a file says, not what `__pycache__` kept of one of the same second and size."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run_file(path: Path, name: str) -> Rule:
    module_name = f"_rule_{path.stem}_{file_sha(path)[:8]}"
    loader = _Fresh(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    _loading.append(path)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file that ends the process is no rule either
        raise RuleError(f"kind: {path} does not run: {type(error).__name__}: {error}.") from error
    finally:
        _loading.pop()
    rule = getattr(module, name, None)
    if not (isinstance(rule, type) and issubclass(rule, AbstractMemoryRule)):
        found = [
            n
            for n, v in vars(module).items()
            if isinstance(v, type)
            and v is not rule
            and issubclass(v, AbstractMemoryRule)
            and v.__module__ == module_name
        ]
        raise ValueError(
            f"kind: {path} has no rule {name!r}; it has: {', '.join(found) or 'none'}."
        )
    if "kind" not in vars(rule):
        rule.kind, rule.paper = name.lower(), "own"
    try:
        check_facts(rule)
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from None
    return rule
