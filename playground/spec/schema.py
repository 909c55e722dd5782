"""A JSON Schema of every spec, for editors: completion, and a mark under a wrong key or value.

It is read off the same dataclasses as the loader, so a rule that is registered is in it. Nothing
is required in it, since a file may extend another; what is missing is the loader's to say.
"""

import types
from collections.abc import Iterator, Mapping
from typing import Literal, get_args, get_origin

from memory_rules import RULES
from playground.spec.bench import BenchRule, BenchSpec
from playground.spec.load import KINDS
from playground.spec.model import ModelSpec
from playground.spec.shapes import (
    Shape,
    arms_of,
    choices,
    default_of,
    has_default,
    is_spec,
    rule_field,
    shape_of,
    spec_fields,
)
from playground.spec.sweep import BaseSpec, VariantSpec

Json = dict[str, object]

_PLAIN: Mapping[object, Json] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    types.NoneType: {"type": "null"},
    object: {},
}
_EXTENDS: Json = {
    "description": "What this is written on top of: a path relative to this file, or several.",
    "type": ["string", "array", "object", "null"],
}
_DOTTED: Json = {r"^[^.]+\..+$": {}}  # a key such as block.memory.conv beside extends


def json_schema() -> Json:
    """The schema of any YAML file that `load` reads, JSON Schema 2020-12."""
    definitions: Json = {}
    tops = [_of(cls, definitions) for cls in KINDS.values()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spec of the test-time playground",
        "type": "object",
        "anyOf": tops,
        "$defs": dict(sorted(definitions.items())),
    }


def _of(hint: object, definitions: Json) -> Json:
    """The schema of a type; dataclasses become definitions."""
    plain = _PLAIN.get(hint) if not is_spec(hint) else None
    if plain is not None:
        return dict(plain)
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is tuple:
        return _array(get_args(hint), definitions)
    table = choices(list(arms_of(hint)))
    if table is not None and len(table) > 1:
        return {"anyOf": [_of(cls, definitions) for cls in table.values()]}
    if len(arms_of(hint)) > 1:
        return _union(hint, definitions)
    if is_spec(hint) and rule_field(hint) is not None:
        return {"anyOf": list(_with_rules(hint, definitions))}
    shape = shape_of(hint, {})
    assert shape is not None
    if shape.cls is None:
        return {"type": "object", "additionalProperties": _of(shape.rest, definitions)}
    return _reference(shape.title, shape, definitions)


def _union(hint: object, definitions: Json) -> Json:
    """Several types; blocks or tasks among them stay one choice by kind."""
    arms = arms_of(hint)
    plain = [_of(arm, definitions) for arm in arms if not is_spec(arm)]
    table = choices([arm for arm in arms if is_spec(arm)]) or {}
    specs = [arm for arm in arms if is_spec(arm) and arm not in table.values()]
    return {"anyOf": [*(_of(cls, definitions) for cls in (*table.values(), *specs)), *plain]}


def _array(items: tuple[object, ...], definitions: Json) -> Json:
    if len(items) == 2 and items[1] is Ellipsis:
        return {"type": "array", "items": _of(items[0], definitions)}
    count = len(items)
    prefix = [_of(item, definitions) for item in items]
    return {"type": "array", "prefixItems": prefix, "minItems": count, "maxItems": count}


def _with_rules(cls: type, definitions: Json) -> Iterator[Json]:
    """One alternative per rule, and one for a rule in a file of one's own."""
    alone = cls is BenchRule  # a name is enough where there is nothing beside the rule
    for kind in RULES:
        shape = shape_of(cls, {"kind": kind})
        assert shape is not None
        yield _reference(f"{'rule' if alone else 'memory'}:{kind}", shape, definitions, kind=kind)
    own: Json = {"type": "string", "pattern": r"\.py:\w+$"}
    yield {"type": "object", "properties": {"kind": own}, "required": ["kind"]}
    if alone:
        yield {"enum": list(RULES)}
        yield own


def _reference(name: str, shape: Shape, definitions: Json, kind: str = "") -> Json:
    if name not in definitions:
        definitions[name] = {}  # its place, in case it holds itself
        definitions[name] = _object(shape, definitions, kind)
    reference: Json = {"$ref": f"#/$defs/{name}"}
    by_path = shape.cls in (ModelSpec, BaseSpec)
    return {"anyOf": [reference, {"type": "string"}]} if by_path else reference


def _object(shape: Shape, definitions: Json, kind: str) -> Json:
    assert shape.cls is not None
    defaults = _defaults(shape)
    properties: Json = {}
    for name, hint in shape.slots.items():
        properties[name] = {**_of(hint, definitions), **defaults.get(name, {})}
    constant = kind or getattr(shape.cls, "kind", "")
    own = any(item.name == "kind" for item in spec_fields(shape.cls))
    if isinstance(constant, str) and constant and not own:
        properties["kind"] = {"const": constant}
    result: Json = {"type": "object", "properties": properties}
    described = (shape.rule or shape.cls).__doc__ or ""
    result["description"] = described.strip().splitlines()[0] if described.strip() else ""
    if shape.cls in (*KINDS.values(), BaseSpec, VariantSpec):
        properties["extends"] = _EXTENDS
    if shape.cls is BenchSpec:  # paths alone, each called like its file
        paths: Json = {"type": "array", "items": {"type": "string"}}
        properties["models"] = {"anyOf": [properties["models"], paths]}
    if shape.cls is ModelSpec:
        result["patternProperties"] = _DOTTED
    rest = False if shape.rest is None else _of(shape.rest, definitions)
    result["additionalProperties"] = rest
    return result


def _defaults(shape: Shape) -> dict[str, Json]:
    """`default` of the fields whose default is a plain value."""
    owners = [cls for cls in (shape.cls, shape.rule) if cls is not None]
    items = [item for cls in owners for item in spec_fields(cls) if has_default(item)]
    found = {item.name: default_of(item) for item in items}
    plain = bool | int | float | str
    return {name: {"default": value} for name, value in found.items() if isinstance(value, plain)}
