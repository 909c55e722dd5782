"""A spec as plain data, YAML and JSON, and the identity of a run."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, is_dataclass, replace
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from memory_rules import RULES, AbstractMemoryRule
from playground.errors import SpecError
from playground.spec.bench import BenchSpec
from playground.spec.convert import AS_READ, convert
from playground.spec.model import ModelSpec
from playground.spec.raw import DATA_FIELDS, MORE_DATA, Raw, is_corpus_path, is_mapping
from playground.spec.run import RunSpec
from playground.spec.search import SearchSpec
from playground.spec.shapes import default_of, has_default, rest_field, rule_field, spec_fields
from playground.spec.sweep import SweepSpec

Spec = ModelSpec | RunSpec | SweepSpec | SearchSpec | BenchSpec

NUMERICS_VERSION = 3  # raise it when the same spec, seed and data give other numbers on purpose
EXCLUDED = ("run", "report")  # how a sweep is executed and shown; not part of any identity


Keep = Callable[["Field[object]", object], bool]  # whether a field with its value is written


def to_dict(spec: object, *, defaults: bool = True) -> Raw:
    """A spec as the plain data that a YAML of it would hold.

    Args:
        spec: any spec dataclass.
        defaults: false leaves out the fields that have their default.
    """
    return _written(spec, lambda item, value: defaults or not _is_default(item, value))


def _is_default(item: "Field[object]", value: object) -> bool:
    return has_default(item) and value == default_of(item)


def _written(spec: object, keep: Keep) -> Raw:
    if not is_dataclass(spec):
        raise TypeError(f"{type(spec).__name__} is not a spec")
    rest, rule = rest_field(type(spec)), rule_field(type(spec))
    result: Raw = {}
    kind = getattr(spec, "kind", None)
    if isinstance(spec, AbstractMemoryRule):
        result["kind"] = _rule_name(type(spec))
    elif isinstance(kind, str):
        result["kind"] = kind
    for item in spec_fields(type(spec)):
        value = getattr(spec, item.name)
        if not keep(item, value):
            continue
        if item.name == rule or (rest is not None and item.name == rest.name):
            result.update(cast(Raw, _plain(value, keep)))
        else:
            result[item.name] = _plain(value, keep)
    return result


def _plain(value: object, keep: Keep) -> object:
    if type(value) in _SCALARS:  # most are
        return value
    if is_dataclass(value):
        return _written(value, keep)
    if isinstance(value, Mapping):
        items = cast(Mapping[object, object], value).items()
        return {key: _plain(item, keep) for key, item in items}
    if isinstance(value, tuple | list):
        return [_plain(item, keep) for item in cast(tuple[object, ...], value)]
    return value


_SCALARS = frozenset((str, int, float, bool, type(None)))


def _rule_name(rule: type[AbstractMemoryRule]) -> str:
    """The `kind` that loads this rule: its name, or its file and class."""
    if RULES.get(rule.kind) is rule:
        return rule.kind
    return f"{_rule_file(rule)}:{rule.__name__}"


def _rule_file(rule: type[AbstractMemoryRule]) -> Path:
    file = getattr(sys.modules.get(rule.__module__), "__file__", None)
    if file is None:
        fix = "Put the class in a file of its own, or register it."
        raise SpecError("kind", f"the rule {rule.__name__} is in no file.", fix=fix)
    return Path(file).resolve()


def to_yaml(spec: Spec) -> str:
    """A spec as YAML, every field explicit; loading it gives an equal spec."""
    return OmegaConf.to_yaml(OmegaConf.create(to_dict(spec)))


def canonical_json(spec: Spec) -> str:
    """A spec as one line of JSON: keys sorted, every field and kind explicit.

    The same for a spec written in YAML and its twin built in Python.
    """
    return json.dumps(_string_keys(to_dict(_as_read(spec))), sort_keys=True, separators=(",", ":"))


def _string_keys(value: object) -> object:
    if is_mapping(value):
        return {str(key): _string_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_string_keys(item) for item in cast(list[object], value)]
    return value


def fingerprint(spec: Spec, data_sha: str = "") -> str:
    """The identity of what a spec computes: sha256, 64 hex digits.

    Args:
        spec: all its fields count but `run` and `report` of a sweep (EXCLUDED), and what came later
            and has its default.
        data_sha: identity of the data the task reads.

    Of a file on disk (a rule of one's own, a corpus) the name and the content count, not the
    folder it lies in.
    """
    return _sha(_identity(spec, data_sha))


def fingerprints(spec: RunSpec, seeds: Sequence[int], data_sha: str = "") -> list[str]:
    """The identities of one run with several seeds, as `fingerprint` gives them one by one."""
    text = _identity(replace(_as_read(spec), seed=_NO_SEED), data_sha, checked=True)
    before, found, after = text.partition(f'"seed":{_NO_SEED},')
    if not found or f'"seed":{_NO_SEED}' in after:  # such a number stands elsewhere too
        return [fingerprint(replace(spec, seed=seed), data_sha) for seed in seeds]
    return [_sha(f'{before}"seed":{seed},{after}') for seed in seeds]


_NO_SEED = 8_640_216_397_503_291  # stands for the seed while a text is made


def _as_read(spec: Spec) -> Spec:
    """A spec with its values as `convert` reads them; itself, if that is where it came from."""
    return spec if AS_READ in vars(spec) else convert(type(spec), to_dict(spec))


def _identity(spec: Spec, data_sha: str, *, checked: bool = False) -> str:
    written = cast(Raw, _string_keys(_written(spec if checked else _as_read(spec), _counts)))
    counted = {key: value for key, value in written.items() if key not in EXCLUDED}
    files = sorted(set(_rule_shas(spec)))
    identity = [_portable("", counted), data_sha, files, NUMERICS_VERSION]
    return json.dumps(identity, sort_keys=True, separators=(",", ":"))


def _counts(item: "Field[object]", value: object) -> bool:
    """Whether a field is part of an identity: one that came later, `metadata={"later": True}`, only
    where it is not its default, so that what was computed before is still found."""
    return not (item.metadata.get("later") and _is_default(item, value))


def portable(spec: Spec, *, defaults: bool = True) -> Raw:
    """A spec as plain data that is the same in every folder; without EXCLUDED.

    Args:
        spec: any spec; of a file on disk its name is kept, not the folder it lies in.
        defaults: as of `to_dict`.
    """
    written = cast(Raw, _string_keys(to_dict(spec, defaults=defaults)))
    return cast(Raw, _portable("", {k: v for k, v in written.items() if k not in EXCLUDED}))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _portable(name: str, value: object) -> object:
    if is_mapping(value):
        return {key: _portable(key.rpartition(".")[2], item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(name, item) for item in cast(list[object], value)]
    if not isinstance(value, str):
        return value
    own = name == "kind" and ".py:" in value
    data = name in DATA_FIELDS or (name in MORE_DATA and Path(value).is_absolute())
    return Path(value).name if own or (data and is_corpus_path(value)) else value


def _rule_shas(value: object) -> Iterator[str]:
    """sha256 of the file of every rule in a spec that does not come with this project."""
    if isinstance(value, AbstractMemoryRule):
        if not type(value).__module__.startswith("memory_rules."):
            yield hashlib.sha256(_rule_file(type(value)).read_bytes()).hexdigest()
    elif is_dataclass(value):
        for item in spec_fields(type(value)):
            yield from _rule_shas(getattr(value, item.name))
    elif isinstance(value, Mapping):
        for item in cast(Mapping[object, object], value).values():
            yield from _rule_shas(item)
    elif isinstance(value, str) and ".py:" in value:
        file = Path(value.rpartition(":")[0])
        if file.is_file():
            yield hashlib.sha256(file.read_bytes()).hexdigest()
