"""What `key=value` words do to the plain data of a spec's files.

A word is merged onto what stands there, as one file onto another, with three exceptions: a model
that is named by its file takes the place of the one before; null on an entry of a mapping of names,
such as a variant, takes it out; and an entry that is written with a dotted key keeps that key.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import cast, get_origin

from playground.errors import SpecError
from playground.spec.merge import apply, find, is_path, resolve
from playground.spec.model import ModelSpec
from playground.spec.raw import Raw, is_mapping
from playground.spec.shapes import hints_of

# (key, value) -> the value with the models read that it names by their files; None: it names none
Models = Callable[[str, object], object]


def apply_words(
    cls: type, raw: Raw, words: Iterable[tuple[str, object]], *, below: str = "", models: Models
) -> tuple[Raw, list[Raw]]:
    """`raw` with words on top of it, and what each word says as data by its full path.

    Args:
        cls: the spec class of `raw`.
        raw: plain data; not changed.
        words: dotted key and value, as of `merge.apply`.
        below: a field whose paths may be written without it, such as "model".
        models: reads models that a value names by their files.

    Raises:
        SpecError: a key that matches nothing, or more than one path, or a word without effect.
    """
    merged, said, words = list[tuple[str, object]](), list[Raw](), list(words)
    default = raw.get("baseline", getattr(cls, "baseline", None))
    baseline = dict(words).get("baseline", default)
    for key, value in words:
        if value == {}:
            fix = f"Write {key}.NAME=null to take an entry out." if _names(cls, key) else ""
            fix = fix or "Leave the word out."
            raise SpecError(key, "an empty mapping changes nothing.", fix=fix)
        if value is None:
            _check_taken_out(cls, raw, key, baseline)
        model = models(key, value)
        path = key.split(".") if model is not None else _written(cls, raw, key)
        if path:
            raw = _put(raw, path, value if model is None else model)
            said.append(_put({}, path, value))
        else:
            _check_level(cls, raw, key)
            merged.append((key, value))
    raw = apply(cls, raw, merged, below=below)
    places = [(resolve(cls, raw, key, below=below).split("."), value) for key, value in merged]
    return raw, [*said, *(_nested(path, value) for path, value in places)]


def _check_taken_out(cls: type, raw: Raw, key: str, baseline: object) -> None:
    """Refuse null for the baseline, which runs without an entry too, and for what is not there."""
    field, _, name = key.partition(".")
    entries = raw.get(field)
    if not name or not _names(cls, field):
        return
    names = [str(one) for one in entries] if is_mapping(entries) else []
    if field == "variants" and name == baseline:
        problem = f"{name} is the baseline, which is always run."
        raise SpecError(key, problem, fix="Name another with baseline=NAME, or leave it in.")
    if name in names or any(name.startswith(f"{one}.") for one in names):
        return
    problem = f"there is no {name} in {field} to take out."
    raise SpecError(key, problem, fix=f"There are {', '.join(names) or 'none'}.")


def _check_level(cls: type, raw: Raw, key: str) -> None:
    """Refuse a key of the model where it stands below `base`, and say so."""
    base = raw.get("base")
    if "base" not in hints_of(cls) or not is_mapping(base) or not is_mapping(base.get("extends")):
        return
    found, inner = find(cls, raw, key), key.removeprefix("model.")
    if isinstance(found, SpecError) and is_path(ModelSpec, cast(Raw, base["extends"]), inner):
        raise SpecError(key, found.problem, fix=f"Did you mean 'base.{inner}'?")


def _nested(path: list[str], value: object) -> Raw:
    for part in reversed(path):
        value = {part: value}
    return cast(Raw, value)


def _written(cls: type, raw: Raw, key: str) -> list[str]:
    """Field, entry and, of a variant, dotted key that a key names as they are written; or none."""
    field, _, rest = key.partition(".")
    entries = raw.get(field)
    if not is_mapping(entries) or not _names(cls, field):
        return []
    names = {str(name): name for name in entries}
    if rest in names:
        return [field, rest]
    for name in names:
        own = rest.removeprefix(f"{name}.")
        entry = entries[name]
        if own != rest and "." in own and is_mapping(entry) and own in entry:
            return [field, name, own]
    return []


def _names(cls: type, field: str) -> bool:
    """Whether a field holds entries by name, as `variants` does."""
    return get_origin(hints_of(cls).get(field)) is Mapping


def _put(raw: Raw, path: list[str], value: object) -> Raw:
    """A copy with a value in place of what stood there; null takes an entry of names out."""
    first, *rest = path
    if rest:
        inner = raw.get(first)
        return {**raw, first: _put(inner if is_mapping(inner) else {}, rest, value)}
    if value is None:
        return {key: one for key, one in raw.items() if key != first}
    return {**raw, first: value}
