"""Which keys a mapping may have: read off the dataclasses, and off `kind` where there are several.

Three forms differ from "keys are fields". A union of dataclasses is told apart by `kind`. The
fields of a memory's rule stand beside those of MemorySpec. A field marked `rest` takes every key
that is not another field.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import TypeGuard, Union, cast, get_args, get_origin, get_type_hints

from memory_rules import RULES, AbstractMemoryRule, load_rule
from memory_rules.facts import RuleError
from playground.errors import SpecError
from playground.spec.raw import Raw, is_mapping
from playground.spec.tasks import TASK_SPECS, TaskSpec


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The keys of one mapping: name -> type, and the type of any further key if there may be."""

    title: str  # how errors call it
    cls: type | None = None  # the dataclass it becomes
    slots: Mapping[str, object]
    rest: object | None = None
    integer_keys: bool = False
    rule: type[AbstractMemoryRule] | None = None

    def get(self, key: object) -> object | None:
        """The type of a key's value, or None where there is no such key."""
        return self.slots.get(str(key), self.rest)


def shape_of(hint: object, raw: Raw) -> Shape | None:
    """The keys that `raw` may have where `hint` is expected; None where no mapping is.

    Raises:
        SpecError: the `kind` that decides is missing or unknown.
    """
    arms = [arm for arm in arms_of(hint) if arm is not type(None)]
    if len(arms) > 1:
        arms = [arm for arm in arms if is_spec(arm) or _is_mapping_type(arm)]
    table = choices(arms)
    if table is not None:
        return _class_shape(table[_kind(raw, table)])
    if len(arms) != 1:
        return None
    arm = arms[0]
    if _is_mapping_type(arm):
        key, value = get_args(arm)
        return Shape(title="mapping", slots={}, rest=value, integer_keys=key is int)
    if not is_spec(arm):
        return None
    rule = rule_field(arm)
    return _class_shape(arm) if rule is None else _memory_shape(arm, rule, rule_class(raw))


_MAPPING = get_origin(Mapping[str, str])


def _is_mapping_type(hint: object) -> bool:
    return get_origin(hint) in (dict, Mapping, types.MappingProxyType, _MAPPING)


def is_spec(hint: object) -> TypeGuard[type]:
    """Whether a type is one of the spec dataclasses."""
    return isinstance(hint, type) and is_dataclass(hint)


def arms_of(hint: object) -> tuple[object, ...]:
    """The members of a union, or the type alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def choices(arms: list[object]) -> Mapping[str, type] | None:
    """`kind` -> dataclass where `kind` decides or is fixed; None where there is no such thing."""
    kinds = [getattr(arm, "kind", None) if is_spec(arm) else None for arm in arms]
    if not arms or not all(isinstance(kind, str) for kind in kinds):
        return None
    if set(arms) == set(get_args(TaskSpec)):
        return TASK_SPECS  # with those that were registered
    if len(arms) == 1 and "kind" in hints_of(cast(type, arms[0])):
        return None
    return dict(zip(cast(list[str], kinds), cast(list[type], arms), strict=True))


def _kind(raw: Raw, table: Mapping[str, type]) -> str:
    kind = raw.get("kind")
    if kind is None and len(table) == 1:
        return next(iter(table))
    if kind is None:
        raise SpecError("kind", "is missing.", allowed=table)
    if not isinstance(kind, str) or kind not in table:
        raise SpecError(
            "kind", f"{kind!r} is not an allowed value.", allowed=table, found=str(kind)
        )
    return kind


@cache
def _class_shape(cls: type) -> Shape:
    slots = dict(hints_of(cls))
    rest = rest_field(cls)
    rest_hint = None if rest is None else get_args(slots.pop(rest.name))[1]
    if isinstance(getattr(cls, "kind", None), str) and "kind" not in slots:
        slots = {"kind": str, **slots}
    return Shape(title=cls.__name__, cls=cls, slots=slots, rest=rest_hint)


@cache
def _memory_shape(cls: type, field_name: str, rule: type[AbstractMemoryRule]) -> Shape:
    around = {name: hint for name, hint in hints_of(cls).items() if name != field_name}
    inside = hints_of(rule)
    both = sorted({"kind", *around} & set(inside))
    if both:
        problem = f"the rule {rule.__name__} has a field {both[0]!r}, which the memory layer has."
        raise SpecError("kind", problem, fix="Rename the field of the rule.")
    slots = {"kind": str, **inside, **around}
    return Shape(title=rule.__name__, cls=cls, slots=slots, rule=rule)


def rule_class(raw: Raw) -> type[AbstractMemoryRule]:
    """The rule that `kind` names: one of RULES, or `path/to/file.py:Class`.

    Raises:
        SpecError: there is no such rule, a fact of it is wrong, or it is not a dataclass.
    """
    kind = raw.get("kind")
    if kind is None:
        raise SpecError("kind", "is missing.", allowed=RULES)
    if not isinstance(kind, str) or (kind not in RULES and ".py:" not in kind):
        fix = "Write a name, or path/to/file.py:Class for a rule of your own."
        problem = f"{kind!r} names no rule."
        raise SpecError("kind", problem, allowed=RULES, found=str(kind), fix=fix)
    if kind in RULES:
        return RULES[kind]
    try:
        rule = load_rule(kind)
    except ValueError as error:
        problem = str(error).removeprefix("kind: ")  # that of a rule says what would do
        fix = "" if isinstance(error, RuleError) else "Write path/to/file.py:Class."
        raise SpecError("kind", problem, fix=fix) from None
    if not is_dataclass(rule):
        fix = "Put @dataclass(frozen=True, kw_only=True) before the class."
        raise SpecError("kind", f"{rule.__name__} is not a dataclass.", fix=fix)
    return rule


@cache
def hints_of(cls: type) -> Mapping[str, object]:
    """Field -> type of a dataclass, in order."""
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError) as error:
        problem = f"the types of {cls.__name__} cannot be read: {error}."
        raise SpecError("kind", problem, fix="Import every name its annotations use.") from None
    return {item.name: hints[item.name] for item in spec_fields(cls)}


@cache
def spec_fields(cls: type) -> tuple["Field[object]", ...]:
    """The fields a person may write."""
    return tuple(item for item in fields(cls) if item.init) if is_dataclass(cls) else ()


@cache
def rest_field(cls: type) -> "Field[object] | None":
    """The field that takes the keys which are not fields."""
    return next((item for item in spec_fields(cls) if item.metadata.get("rest")), None)


@cache
def rule_field(cls: object) -> str | None:
    """The field that holds a memory rule: its keys stand beside the others."""
    if not isinstance(cls, type):
        return None
    for name, hint in hints_of(cls).items():
        if isinstance(hint, type) and issubclass(hint, AbstractMemoryRule):
            return name
    return None


def has_default(item: "Field[object]") -> bool:
    """Whether a field may be left out."""
    return item.default is not MISSING or item.default_factory is not MISSING


def default_of(item: "Field[object]") -> object:
    """The default of a field that has one."""
    return item.default if item.default_factory is MISSING else item.default_factory()


def find_key(raw: Raw, name: str) -> str:
    """The key of `raw` that is written `name`: whole numbers are keys too."""
    return next((key for key in raw if str(key) == name), name)


def walk(hint: object, raw: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every legal path below a mapping with its type, as far as the kinds in it say."""
    try:
        shape = shape_of(hint, raw) if is_mapping(raw) else None
    except SpecError:
        shape = None
    if shape is None:
        if any(choices([arm]) for arm in arms_of(hint)) or rule_field(hint) is not None:
            yield f"{path}.kind".lstrip("."), str
        return
    data = cast(Raw, raw)
    free = [] if shape.rest is object else [str(key) for key in data]
    names = dict.fromkeys([*shape.slots, *free])
    for name in names:
        slot = shape.get(name)
        if slot is None:
            continue
        below = f"{path}.{name}".lstrip(".")
        yield below, slot
        inner = data.get(find_key(data, name))
        absent = inner is None and type(None) not in arms_of(slot)
        yield from walk(slot, cast(Raw, {}) if absent else inner, below)
