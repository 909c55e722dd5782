"""Plain data into spec dataclasses, by the types of their fields: strict, with full paths.

Nothing is coerced but a whole number where a fraction is expected.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, is_dataclass
from typing import Literal, TypeVar, cast, get_args, get_origin

from memory_rules import AbstractMemoryRule
from memory_rules.facts import RuleError, words_of
from memory_rules.trial import try_rule
from playground.errors import SpecError
from playground.spec.raw import Raw, is_mapping
from playground.spec.shapes import (
    Shape,
    arms_of,
    choices,
    default_of,
    has_default,
    hints_of,
    rest_field,
    rule_field,
    shape_of,
    spec_fields,
)

T = TypeVar("T")
AS_READ = "_as_read"  # among the attributes of a spec that `convert` made

_EXAMPLES = {
    bool: ("true or false", "Write true or false."),
    int: ("a whole number", "Write for example 4."),
    float: ("a number", "Write for example 0.5 or 1e-4."),
    str: ("text", "Write a name, in quotes if it reads like a number."),
}


def convert(cls: type[T], raw: object, path: str = "") -> T:
    """The spec of class `cls` that plain data describes.

    Args:
        cls: a spec dataclass.
        raw: what was written, as plain data.
        path: where it was written; put before the path of every error.

    Raises:
        SpecError: an unknown key, a wrong type or value, fields that contradict each other.
    """
    found = read(cls, raw, path)
    if is_dataclass(found):
        vars(found)[AS_READ] = True  # not so of what `replace` makes of it
    return cast(T, found)


def read(hint: object, raw: object, path: str) -> object:
    """Plain data as a value of type `hint`."""
    if hint is object:
        return raw
    arms = arms_of(hint)
    if raw is None:
        if type(None) in arms:
            return None
        raise SpecError(path, "is null.", fix=_expected(hint)[1], allowed=_literals(arms))
    if is_mapping(raw):
        return _read_mapping(hint, raw, path)
    if len(arms) == 1:
        return _read_plain(hint, raw, path)
    for arm in arms:
        if _accepts(arm, raw):
            return _read_plain(arm, raw, path)
    wanted = " or ".join(dict.fromkeys(_expected(arm)[0] for arm in arms))
    fix = _expected(hint)[1]
    literals = _literals(arms)
    raise SpecError(path, f"{raw!r} is not {wanted}.", literals, str(raw), fix)


def _read_plain(hint: object, raw: object, path: str) -> object:
    if get_origin(hint) is tuple:
        return _read_tuple(get_args(hint), raw, path)
    if _accepts(hint, raw):
        return float(cast(float, raw)) if hint is float else raw
    wanted, fix = _expected(hint)
    shown = repr(raw) if len(repr(raw)) < 60 else repr(raw)[:57] + "..."
    literals = _literals((hint,))
    problem = f"{shown} is not an allowed value." if literals else f"{shown} is not {wanted}."
    raise SpecError(path, problem, literals, str(raw), "" if literals else fix)


def _read_tuple(items: tuple[object, ...], raw: object, path: str) -> tuple[object, ...]:
    if not isinstance(raw, list | tuple):
        raise SpecError(path, f"{raw!r} is not a list.", fix="Write [..., ...].")
    values = list(cast(list[object], raw))
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(values)
    if len(values) != len(items):
        problem = f"has {len(values)} items, not {len(items)}."
        raise SpecError(path, problem, fix=f"Write {len(items)} items in [ ].")
    pairs = zip(items, values, strict=True)
    return tuple(read(item, value, f"{path}.{i}") for i, (item, value) in enumerate(pairs))


def _accepts(hint: object, raw: object) -> bool:
    if hint is bool:
        return isinstance(raw, bool)
    if hint is int:
        return isinstance(raw, int) and not isinstance(raw, bool)
    if hint is float:
        return isinstance(raw, int | float) and not isinstance(raw, bool) and _finite(raw)
    if get_origin(hint) is Literal:
        return any(type(raw) is type(value) and raw == value for value in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(raw, list | tuple)
    return isinstance(hint, type) and isinstance(raw, hint)


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _expected(hint: object) -> tuple[str, str]:
    """What a type is called in a sentence, and what to write."""
    arm = next((arm for arm in arms_of(hint) if arm is not type(None)), hint)
    literals = _literals((arm,))
    if literals:
        return f"one of {', '.join(literals)}", ""
    if get_origin(arm) is tuple:
        return "a list", "Write [..., ...]."
    if isinstance(arm, type) and arm in _EXAMPLES:
        return _EXAMPLES[arm]
    return ("null", "") if arm is type(None) else ("a mapping", "Write key: value pairs.")


def _literals(arms: tuple[object, ...]) -> list[str]:
    found = [get_args(arm) for arm in arms if get_origin(arm) is Literal]
    values = [value for group in found for value in group]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _read_mapping(hint: object, raw: Raw, path: str) -> object:
    try:
        shape = shape_of(hint, raw)
    except SpecError as error:
        raise error.under(path) from None
    if shape is None:
        wanted, fix = _expected(hint)
        raise SpecError(path, f"a mapping is not {wanted}.", fix=fix, allowed=_literals((hint,)))
    values: dict[str, object] = {}
    extra: dict[object, object] = {}
    for key, value in raw.items():
        slot = shape.get(key)
        below = f"{path}.{key}".lstrip(".")
        if slot is None or _misspelt(shape, str(key), value):
            raise unknown_key(shape, str(key), below)
        if str(key) in shape.slots:
            values[str(key)] = _read_field(shape, str(key), slot, value, below)
        else:
            extra[_key(key, shape, below)] = read(slot, value, below)
    return _build(shape, values, extra, path)


def _read_field(shape: Shape, name: str, slot: object, value: object, path: str) -> object:
    """A field's value; of a rule's, an error lists the words that may stand there."""
    try:
        return read(slot, value, path)
    except SpecError as error:
        words = words_of(shape.rule, name) if shape.rule is not None else ()
        if not words or error.path != path:
            raise
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fix = f"Write fixed:{value}." if number else "Write one of its words."
        raise SpecError(path, error.problem, allowed=words, fix=fix) from None


def _misspelt(shape: Shape, key: str, value: object) -> bool:
    """A plain value under a free key that must hold a mapping: most likely a field's typo."""
    if key in shape.slots or shape.cls is None or shape.rest is object or is_mapping(value):
        return False
    return unknown_key(shape, key, "").nearest is not None


def unknown_key(shape: Shape, key: str, path: str) -> SpecError:
    """The error of a key that a mapping does not have."""
    problem = f"{shape.title} has no such field."
    fix = "" if shape.slots else "Remove it."
    head, dot, rest = key.partition(".")
    if dot and head in shape.slots:
        fix = f"Write {head}: with {rest} below it; dotted keys are for models, variants and words."
    elif key == "model" and "base" in shape.slots:
        fix = "Write it as base."
    return SpecError(path, problem, allowed=shape.slots, found=key, fix=fix)


def _key(key: object, shape: Shape, path: str) -> object:
    if not shape.integer_keys:
        return str(key)
    try:
        return int(cast(str, key))
    except (TypeError, ValueError):
        raise SpecError(path, f"{key!r} is not a whole number.", fix="Write 0, 1 or -1.") from None


def _build(
    shape: Shape, values: dict[str, object], extra: dict[object, object], path: str
) -> object:
    if shape.cls is None:
        return extra
    rest = rest_field(shape.cls)
    if rest is not None:
        values[rest.name] = extra
    if shape.rule is not None:
        rule = cast(str, rule_field(shape.cls))
        inside = {item.name for item in spec_fields(shape.rule)}
        taken = {name: values.pop(name) for name in list(values) if name in inside}
        values[rule] = _construct(shape.rule, taken, path)
    if "kind" not in {item.name for item in spec_fields(shape.cls)}:
        values.pop("kind", None)
    return _construct(shape.cls, values, path)


def _construct(cls: type, values: Mapping[str, object], path: str) -> object:
    for item in spec_fields(cls):
        if not has_default(item) and item.name not in values:
            below = f"{path}.{item.name}".lstrip(".")
            kinds = choices(list(arms_of(hints_of(cls)[item.name])))
            fix = f"Write {item.name}: with its {'kind' if kinds else 'fields'} below it."
            fix = item.metadata.get("fix", fix)
            problem = f"is missing; {cls.__name__} needs it."
            raise SpecError(below, problem, allowed=kinds or (), fix=fix)
    try:
        made = cls(**values)
    except SpecError as error:
        raise error.under(path) from None
    except (ValueError, TypeError) as error:
        raise _from_value_error(cls, str(error), path) from None
    if isinstance(made, AbstractMemoryRule):
        _try(made, path)
    return made


def _try(rule: AbstractMemoryRule, path: str) -> None:
    try:
        try_rule(rule)
    except RuleError as error:
        raise SpecError(path, str(error)) from error


def _from_value_error(cls: type, text: str, path: str) -> SpecError:
    """`field: problem. fix` of a dataclass's own check, at its full path."""
    name, colon, problem = text.partition(": ")
    known = {item.name: item for item in spec_fields(cls)}
    if not colon or name not in known:
        fix = f"Change the fields of {cls.__name__}."
        return SpecError(path, text if text.endswith(".") else f"{text}.", fix=fix)
    item = known[name]
    problem, said, fix = problem.partition(". ")
    if said:  # the check knows better than the default
        return SpecError(f"{path}.{name}".lstrip("."), f"{problem}.", fix=fix)
    default = default_of(item) if has_default(item) else MISSING
    plain = default is None or isinstance(default, bool | int | float | str)
    fix = f"The default is {json.dumps(default)}." if plain else "Change one of the two."
    return SpecError(f"{path}.{name}".lstrip("."), problem, fix=fix)
