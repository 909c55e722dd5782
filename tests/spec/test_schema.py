"""The JSON Schema: it knows what the loader knows."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from memory_rules import RULES
from playground.spec import json_schema
from tests.spec.samples import FILES

SCHEMA = json_schema()
SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.yaml"))
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def fits(value, schema) -> bool:
    """The part of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return (
        ("anyOf" not in schema or any(fits(value, one) for one in schema["anyOf"]))
        and ("const" not in schema or value == schema["const"])
        and ("enum" not in schema or value in schema["enum"])
        and ("type" not in schema or is_of(value, schema["type"]))
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
        and (not isinstance(value, dict) or object_fits(value, schema))
        and (not isinstance(value, list) or list_fits(value, schema))
    )


def is_of(value, kind) -> bool:
    if isinstance(kind, list):
        return any(is_of(value, one) for one in kind)
    if kind in ("integer", "number"):
        number = int if kind == "integer" else int | float
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def object_fits(value, schema) -> bool:
    if not all(key in value for key in schema.get("required", [])):
        return False
    for key, item in value.items():
        patterns = [
            s for p, s in schema.get("patternProperties", {}).items() if re.search(p, str(key))
        ]
        known = schema.get("properties", {}).get(key)
        below = known or (patterns[0] if patterns else schema.get("additionalProperties", {}))
        if below is False or not fits(item, below or {}):
            return False
    return True


def list_fits(value, schema) -> bool:
    prefix = schema.get("prefixItems", [])
    sized = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
    rest = all(fits(item, schema.get("items", {})) for item in value[len(prefix) :])
    return sized and rest and all(fits(v, s) for v, s in zip(value, prefix, strict=False))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_of_the_project_fits_the_schema(path):
    assert fits(OmegaConf.to_container(OmegaConf.load(path)), SCHEMA)


@pytest.mark.parametrize("name", FILES)
def test_every_sample_fits_and_a_misspelt_key_anywhere_does_not(name):
    assert fits(FILES[name], SCHEMA)
    text = json.dumps(FILES[name])
    keys = set(re.findall(r'"(\w+)": ', text)) - {"kind", "M", "A", "extends"} - {"0"}
    for key in keys:
        assert not fits(json.loads(text.replace(f'"{key}": ', f'"{key}_": ')), SCHEMA), key


def test_wrong_values_do_not_fit():
    run = FILES["run.yaml"]
    for change in ({"seed": "a"}, {"dtype": "fp8"}, {"task": {"kind": "txt"}}, {"train": 3}):
        assert not fits({**run, **change}, SCHEMA), change


def test_every_rule_is_in_it_with_its_fields_and_defaults():
    for kind, rule in RULES.items():
        properties = SCHEMA["$defs"][f"memory:{kind}"]["properties"]
        assert properties["kind"] == {"const": kind}
        assert {field.name for field in dataclasses.fields(rule)} < set(properties)
    assert SCHEMA["$defs"]["memory:titans"]["properties"]["chunk_size"]["default"] == 16


def test_it_is_plain_json():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_files_of_other_kinds_that_one_kind_extends_are_strings_or_lists():
    extends = SCHEMA["$defs"]["ModelSpec"]["properties"]["extends"]["type"]
    assert {"string", "array"} <= set(extends)
