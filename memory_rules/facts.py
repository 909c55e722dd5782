"""The facts of a rule, held to the types that the base classes declare for them.

A fact may stand in the class (`anchor = "token"`) or be a field; either way its words are those of
`AbstractMemoryRule` and `AbstractGradientRule`.
"""

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import MemberDescriptorType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from memory_rules.base import AbstractMemoryRule
from memory_rules.gates import Words
from memory_rules.gradient import AbstractGradientRule

_NAMES = {int: "a whole number", float: "a number", bool: "True or False"}


class RuleError(ValueError):
    """A rule that cannot be used: which one, what is wrong, what would do."""


def check_facts(rule: AbstractMemoryRule | type[AbstractMemoryRule]) -> None:
    """Hold the facts of a rule, or of its class, to their declared types.

    Raises:
        RuleError: naming the rule, the fact, the problem and what may stand there.
    """
    cls = rule if isinstance(rule, type) else type(rule)
    _no_field_is_hidden(cls)
    for name, hint in _declared(issubclass(cls, AbstractGradientRule)).items():
        value = getattr(rule, name)
        if hasattr(value, "__get__") or _fits(hint, value):
            continue  # of a property, an instance knows the value
        allowed = list(dict.fromkeys(_allowed(hint)))
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hit = f" Did you mean {near[0]!r}?" if near else ""
        raise RuleError(
            f"rule {cls.__name__}: {name}: {value!r} is not an allowed value.{hit} "
            f"Allowed: {', '.join(allowed)}."
        )


def words_of(rule: type[AbstractMemoryRule], name: str) -> tuple[str, ...]:
    """The words that may stand in a field whose type has some, such as `momentum`; else none."""
    hint = _declared(issubclass(rule, AbstractGradientRule)).get(name)
    return tuple(_allowed(hint)) if get_origin(hint) is Annotated else ()


def _no_field_is_hidden(cls: type[AbstractMemoryRule]) -> None:
    """What a class says of an inherited field, but not as a field, would not count."""
    for item in fields(cls) if is_dataclass(cls) else ():
        said = vars(cls).get(item.name, item.default)
        if said is not item.default and not isinstance(said, MemberDescriptorType):
            raise RuleError(
                f"rule {cls.__name__}: {item.name}: is a field, which {said!r} in the class does "
                f"not change. Write {item.name}: TYPE = {said!r} in a dataclass."
            )


@cache
def _declared(descends: bool) -> dict[str, Any]:
    base = AbstractGradientRule if descends else AbstractMemoryRule
    hints = get_type_hints(base, include_extras=True)
    return {n: h for n, h in hints.items() if h is not Any and get_origin(h) is not ClassVar}


def _arms(hint: Any) -> tuple[Any, ...]:
    """The members of a union; a type that is none, alone."""
    split = get_args(hint) and get_origin(hint) not in (Literal, Annotated)
    return get_args(hint) if split else (hint,)


def _fits(hint: Any, value: object) -> bool:
    if value is True or value is False:
        return bool in _arms(hint)
    for arm in _arms(hint):
        if get_origin(arm) is Annotated:
            fits = _words(arm).fits(value)
        elif get_origin(arm) is Literal:
            fits = value in get_args(arm)
        else:
            fits = isinstance(value, (int, float) if arm is float else arm)
        if fits:
            return True
    return False


def _allowed(hint: Any) -> Iterator[str]:
    for arm in _arms(hint):
        if get_origin(arm) is Annotated:
            yield from _words(arm).words
        elif get_origin(arm) is Literal:
            yield from get_args(arm)
        else:
            yield _NAMES[arm]


def _words(hint: Any) -> Words:
    return next(extra for extra in hint.__metadata__ if isinstance(extra, Words))
