"""Layers of plain data on top of each other, and `key=value` overrides on top of all.

A mapping is merged key by key. Where `kind` changes, what is below keeps the keys that the new
kind knows with a value of the right type, and drops the others that the old kind knew; a key
written on top is never dropped.
"""

import copy
from collections.abc import Iterable
from typing import cast

from playground.errors import SpecError
from playground.spec.convert import read, unknown_key
from playground.spec.model import ModelSpec
from playground.spec.raw import Raw, is_mapping
from playground.spec.shapes import Shape, arms_of, choices, find_key, shape_of, walk


def merge(hint: object, below: object, above: object, *, switch: bool = True) -> object:
    """`above` on top of `below`, both plain data where `hint` is expected.

    Args:
        hint: the type expected there, or None where it is not known.
        below: the inherited data.
        above: what is written on top.
        switch: whether naming `layers` on top of `block` (or the reverse) replaces it.
    """
    if not (is_mapping(below) and is_mapping(above)):
        return copy.deepcopy(above)
    new = _shape(hint, {**below, **above})
    result = dict(_kept(_shape(hint, below), new, below, above))
    if switch and new is not None and new.cls is ModelSpec:
        for one, other in (("block", "layers"), ("layers", "block")):
            if one in above and other not in above:
                result.pop(other, None)
    for name, value in above.items():
        key = find_key(result, str(name))
        slot = new.get(name) if new is not None else None
        result[key if key in result else name] = merge(slot, result.get(key), value, switch=switch)
    return result


def _shape(hint: object, raw: Raw) -> Shape | None:
    try:
        return shape_of(hint, raw) if hint is not None else None
    except SpecError:
        return None  # an unknown kind is reported where the whole is converted


def _kept(old: Shape | None, new: Shape | None, below: Raw, above: Raw) -> Raw:
    if old is None or new is None or (old.cls, old.rule) == (new.cls, new.rule):
        return below
    return {k: v for k, v in below.items() if _fits(new.get(k), v) or not old.get(k)}


def _fits(slot: object, value: object) -> bool:
    """Whether an inherited value can be that of a field of the new kind."""
    if slot is None or is_mapping(value):
        return slot is not None
    try:
        read(slot, value, "")
    except SpecError:
        return False
    return True


def apply(cls: type, raw: Raw, overrides: Iterable[tuple[str, object]], *, below: str = "") -> Raw:
    """`raw` with dotted keys set, those that name a `kind` first.

    Args:
        cls: the spec class of `raw`.
        raw: plain data; not changed.
        overrides: dotted key and value; a key is a full path, a path below `below`, or the
            ending of exactly one legal path. Layers with a pattern replace a `block`, and a
            block with a kind replaces `layers`, unless both are among them.
        below: a field whose paths may be written without it, such as "model".

    Raises:
        SpecError: a key that matches nothing, or more than one path.
    """
    written = sorted(overrides, key=_kinds_first)
    for key, value in written:
        path = resolve(cls, raw, key, below=below)
        raw = _without_other(raw, path, value, (key for key, _ in written))
        value = copy.deepcopy(value)
        for part in reversed(path.split(".")):
            value = {part: value}
        raw = cast(Raw, merge(cls, raw, value, switch=False))
    return raw


def _without_other(raw: Raw, path: str, value: object, written: Iterable[str]) -> Raw:
    """Without the `block` that a pattern of layers replaces, or the layers that a block does."""
    *places, name = path.split(".")
    if name in ("pattern", "kind") and places:
        *places, name, value = *places, {name: value}
    says, other = {"layers": ("pattern", "block"), "block": ("kind", "layers")}.get(name, ("", ""))
    whole = is_mapping(value) and says in value
    if not whole or any(other in key.split(".") for key in written):
        return raw
    return _without(raw, [*places, other])


def _without(raw: Raw, path: list[str]) -> Raw:
    first, *rest = path
    inner = raw.get(first)
    if not rest:
        return {key: value for key, value in raw.items() if key != first}
    return {**raw, first: _without(inner, rest)} if is_mapping(inner) else raw


def _kinds_first(override: tuple[str, object]) -> tuple[bool, int]:
    key = override[0]
    kind = key.rpartition(".")[2] == "kind"
    return not kind, key.count(".") if kind else 0


def resolve(cls: type, raw: Raw, key: str, *, below: str = "") -> str:
    """The full path that a dotted key means.

    Raises:
        SpecError: it matches nothing, or several paths.
    """
    found = find(cls, raw, key, below=below)
    if isinstance(found, SpecError):
        raise found
    return found


def find(cls: type, raw: Raw, key: str, *, below: str = "") -> str | SpecError:
    """As `resolve`, but the error of a key that matches nothing is given back.

    Raises:
        SpecError: it matches several paths.
    """
    full = f"{below}.{key}" if below else key
    for path in (key, full):
        if _descend(cls, raw, path) is None:
            return path
    paths = [path for path, _ in walk(cls, raw)]
    endings = [path for path in paths if path.endswith(f".{key}")]
    if len(endings) == 1:
        return endings[0]
    if len(endings) > 1:
        fix = "Write one of the full paths."
        raise SpecError(key, f"matches {len(endings)} fields.", allowed=endings, fix=fix)
    found = _by_start(cls, raw, key, full, paths)
    if isinstance(found, str):
        return found
    own = _descend(cls, raw, key)
    if own is not None and own.nearest is not None and found.nearest is None:
        found = own  # a field of the whole rather than one of what is below
    return _with_near_path(key, paths, found)


def is_path(cls: type, raw: Raw, path: str) -> bool:
    """Whether a full dotted path is legal in this spec."""
    return _descend(cls, raw, path) is None


def _by_start(cls: type, raw: Raw, key: str, full: str, paths: list[str]) -> str | SpecError:
    """The path of a key whose first parts end exactly one path, or why it has no such field."""
    parts = key.split(".")
    for count in range(len(parts) - 1, 0, -1):
        head, tail = ".".join(parts[:count]), ".".join(parts[count:])
        starts = [path for path in paths if path == head or path.endswith(f".{head}")]
        if len(starts) == 1:
            path = f"{starts[0]}.{tail}"
            return _descend(cls, raw, path) or path
    return _descend(cls, raw, full) or full


def _with_near_path(key: str, paths: list[str], problem: SpecError) -> SpecError:
    """The error of a key that matches nothing, with a near full path if there is one.

    A name without dots may be misspelt; of a dotted key the last name must be one of a field.
    """
    by_end: dict[str, str] = {}
    for path in paths:
        by_end.setdefault(path.rpartition(".")[2], path)
    _, dot, last = key.rpartition(".")
    if problem.nearest is not None or (dot and last not in by_end):
        return problem
    near = SpecError("", "", allowed=by_end, found=last).nearest
    if near is None or by_end[near] == key:
        return problem
    return SpecError(key, problem.problem, problem.allowed, fix=f"Did you mean {by_end[near]!r}?")


def _chosen_by_kind(hint: object) -> bool:
    return len(choices([arm for arm in arms_of(hint) if arm is not type(None)]) or ()) > 1


def _descend(cls: type, raw: Raw, path: str) -> SpecError | None:
    """None where a path is legal below `cls`, else the error that says why not."""
    hint: object = cls
    node: object = raw
    walked: list[str] = []
    for part in path.split("."):
        at = ".".join(walked)
        here = ".".join([*walked, part])
        if hint is object:
            return None
        if node is None and part != "kind" and _chosen_by_kind(hint):
            fix = f"Name a field that it has, or write {at}.kind first."
            return SpecError(here, f"this spec has no {at}.", fix=fix)
        try:
            shape = shape_of(hint, node if is_mapping(node) else {})
        except SpecError as error:
            if part == "kind":
                return None
            return error.under(at)
        if shape is None:
            fix = "Remove the last part of the key."
            return SpecError(here, f"{at} is one value, it has no fields.", fix=fix)
        slot = shape.get(part)
        if slot is None:
            return unknown_key(shape, part, here)
        node = node.get(find_key(node, part)) if is_mapping(node) else None
        hint = slot
        walked.append(part)
    return None
