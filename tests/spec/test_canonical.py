"""The canonical form: round trips, one identity per spec, and what counts for it."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.spec import BLOCKS, AttentionSpec, Lmm, MemorySpec
from memory_rules import RULES
from playground.errors import SpecError
from playground.spec import (
    EXCLUDED,
    ModelSpec,
    OptimSpec,
    RunSpec,
    SweepSpec,
    Text,
    TrainSpec,
    canonical_json,
    convert,
    fingerprint,
    fingerprints,
    load,
    to_dict,
    to_yaml,
)
from playground.spec.merge import apply
from playground.spec.shapes import walk
from tests.spec.samples import FILES, MODEL, RUN, SWEEP, write, write_samples
from tests.spec.test_load import RULE

MODELS = Path(__file__).parents[2] / "specs" / "models"
ONE_VALUE = {"train.optim.kind"}  # fields that have a single legal value so far
# fields with one legal value in some rules
FIXED = {
    ("atlas", "anchor"),
    ("atlas", "surprise_at"),
    ("moneta", "anchor"),
    ("moneta", "decay_towards"),
    ("moneta", "surprise_at"),
}
NEEDS = {
    "model.block.memory.surprise_at": ("model.block.memory.anchor", "token"),
    "model.block.memory.start": ("model.block.memory.network", "linear"),
}
OTHERS = (
    *("none", "zero", "learned", "token", "head", "start", "linear", "fixed:0.5", "passes:2"),
    *(
        "before",
        "after",
        "decayed_memory",
        "cpu",
        "chars",
        "l2",
        "reserved",
        "fp32",
        "other.txt",
        "reset",
    ),
    *("sdpa", "rms", "dot", "gelu", "product", "sigmoid", "linear", "constant", "recurrent"),
    *("persistent_segment_retrieved", "newton_schulz", "2A M", "layer", "silu", "auto", 0.25),
    *("best", "last", 1, 2, 3, 8, [0.8, 0.2], [0.5, 0.25, 0.25], [{"task.length": 1024}]),
)


def yaml_of(spec):
    return to_yaml(spec)


def a_block(kind: str, rule: str) -> dict:
    has_memory = any(field.name == "memory" for field in fields(BLOCKS[kind]))
    return {"kind": kind} | ({"memory": {"kind": rule}} if has_memory else {})


BLOCK_SPECS = [a_block(kind, "titans") for kind in BLOCKS] + [a_block("lmm", r) for r in RULES]


@pytest.mark.parametrize("name", FILES)
def test_yaml_to_spec_to_yaml_to_spec_is_equal(tmp_path, name):
    write_samples(tmp_path)
    spec = load(tmp_path / name)
    write(tmp_path, again=to_yaml(spec))
    again = load(tmp_path / "again.yaml")
    assert again == spec
    assert to_yaml(again) == to_yaml(spec)
    assert fingerprint(again) == fingerprint(spec)


@pytest.mark.parametrize("name", FILES)
def test_json_to_spec_to_json_is_equal(tmp_path, name):
    write_samples(tmp_path)
    spec = load(tmp_path / name)
    text = canonical_json(spec)
    again = convert(type(spec), json.loads(text))
    assert again == spec
    assert canonical_json(again) == text
    write(tmp_path, again=text)
    assert load(tmp_path / "again.yaml") == spec


@pytest.mark.parametrize("block", BLOCK_SPECS, ids=lambda b: f"{b['kind']}-{b.get('memory')}")
def test_every_block_and_rule_survives_the_round_trip(tmp_path, block):
    write(tmp_path, m={"kind": "model", "block": block})
    spec = load(tmp_path / "m.yaml")
    write(tmp_path, again=to_yaml(spec))
    assert load(tmp_path / "again.yaml") == spec
    assert convert(ModelSpec, to_dict(spec, defaults=False)) == spec


def test_a_spec_built_in_python_has_the_canonical_form_of_its_yaml(tmp_path):
    model = {"kind": "model", "block": {"kind": "lmm", "memory": {"kind": "delta", "heads": 2}}}
    train = {"optim": {"lr": 1, "betas": [0.9, 0.99]}}
    write(tmp_path, r={"kind": "run", "model": model, "task": {"kind": "text"}, "train": train})
    optim = OptimSpec(lr=1, betas=[0.9, 0.99])
    block = Lmm(memory=MemorySpec(rule=RULES["delta"](), heads=2))
    twin = RunSpec(model=ModelSpec(block=block), task=Text(), train=TrainSpec(optim=optim))
    loaded = load(tmp_path / "r.yaml")
    assert canonical_json(twin) == canonical_json(loaded)
    assert fingerprint(twin, "d") == fingerprint(loaded, "d")


def test_a_spec_built_in_python_with_a_wrong_type_is_found_out():
    model = ModelSpec(block=Lmm(memory=MemorySpec(rule=RULES["delta"]())), persistent_tokens=4.0)
    with pytest.raises(SpecError, match=r"persistent_tokens: 4\.0 is not a whole number"):
        canonical_json(model)


def test_the_canonical_form_is_one_sorted_line_with_every_field(tmp_path):
    write_samples(tmp_path)
    text = canonical_json(load(tmp_path / "run.yaml"))
    assert "\n" not in text
    data = json.loads(text)
    assert json.dumps(data, sort_keys=True, separators=(",", ":")) == text
    assert data["kind"] == "run"
    assert data["model"]["kind"] == "model"
    assert data["model"]["block"]["memory"]["surprise_at"] == "memory"


def leaves(spec) -> list[str]:
    raw = json.loads(canonical_json(spec))
    found = []
    for path, _ in walk(type(spec), raw):
        node = raw
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) and path.rpartition(".")[2] != "kind":
            found.append(path)
    return found


def changed(spec, path: str):
    """The spec with the first other legal value of one field, or None where there is none."""
    raw = json.loads(canonical_json(spec))
    node = raw
    for part in path.split("."):
        node = node[part]
    number = isinstance(node, int | float) and not isinstance(node, bool)
    scaled = [node * 2, node + 1, node / 2] if number else []
    for value in (not node, *scaled, *OTHERS, None):
        if value == node and type(value) is type(node):
            continue
        try:
            other = convert(type(spec), apply(type(spec), raw, [(path, value)]))
        except SpecError:
            continue
        if other != spec:
            return other
    return None


@pytest.mark.parametrize("block", BLOCK_SPECS, ids=lambda b: f"{b['kind']}-{b.get('memory')}")
def test_specs_that_differ_in_any_one_field_have_different_ids(block):
    model = {"dim": 64, "depth": 4, "block": block}
    spec = convert(RunSpec, {**RUN, "model": model})
    seen = {fingerprint(spec, "data"): "as it is"}
    rule = block.get("memory", {}).get("kind")
    skipped = {f"model.block.memory.{name}" for kind, name in FIXED if kind == rule}
    skipped |= {"model.layers", "run.compile_mode", *ONE_VALUE}
    paths = [path for path in leaves(spec) if path not in skipped]
    if block is not BLOCK_SPECS[0]:  # what lies outside the block is the same for all
        paths = [path for path in paths if path.startswith("model.block.")]
    for path in paths:
        other = changed(spec, path)
        if other is None and path in NEEDS:
            raw = apply(RunSpec, to_dict(spec), [NEEDS[path]])
            other = changed(convert(RunSpec, raw), path)
        assert other is not None, f"no other value was found for {path}"
        assert seen.setdefault(fingerprint(other, "data"), path) == path
    assert len(seen) == len(paths) + 1 > (1 if block is not BLOCK_SPECS[0] else 50)


def test_specs_of_different_kinds_of_task_block_and_rule_have_different_ids():
    specs = [convert(RunSpec, {**RUN, "model": {"block": block}}) for block in BLOCK_SPECS]
    specs.append(convert(RunSpec, {**RUN, "task": {"kind": "text", "length": 32}}))
    ids = {fingerprint(spec) for spec in specs}
    assert len(ids) == len(specs) - 1  # lmm with titans is there twice


@settings(max_examples=25, deadline=None, derandomize=True)
@given(lr=st.floats(1e-8, 10, allow_subnormal=False), seed=st.integers(0, 2**63))
@pytest.mark.property
def test_any_number_survives_yaml_and_counts(tmp_path_factory, lr, seed):
    raw = {**RUN, "seed": seed, "train": {"optim": {"lr": lr}}}
    spec = convert(RunSpec, raw)
    folder = tmp_path_factory.mktemp("number")
    write(folder, r=to_yaml(spec))
    assert load(folder / "r.yaml") == spec
    other = convert(RunSpec, {**raw, "seed": seed + 1})
    assert fingerprint(other) != fingerprint(spec)


def test_the_data_the_rule_file_and_the_numerics_version_count(tmp_path, monkeypatch):
    write(tmp_path, m=MODEL)
    spec = load(tmp_path / "m.yaml")
    assert fingerprint(spec, "a") != fingerprint(spec, "b")
    before = fingerprint(spec)
    monkeypatch.setattr("playground.spec.canonical.NUMERICS_VERSION", 10_000)
    assert fingerprint(spec) != before


def test_a_rule_file_counts_by_its_name_and_content_not_by_its_folder(tmp_path):
    ids = []
    for folder, source in (("a", RULE), ("b", RULE), ("c", RULE + "# another\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(source)
        write(tmp_path / folder, m=MODEL)
        spec = load(tmp_path / folder / "m.yaml", f"memory.kind={tmp_path / folder}/own.py:Leaky")
        write(tmp_path / folder, again=to_yaml(spec))
        assert load(tmp_path / folder / "again.yaml") == spec
        ids.append(fingerprint(spec))
    assert ids[0] == ids[1] != ids[2]


def test_a_corpus_counts_by_its_name_and_content_not_by_its_folder():
    def identity(corpus: str, sha: str) -> str:
        return fingerprint(
            convert(RunSpec, {**RUN, "task": {"kind": "text", "corpus": corpus}}), sha
        )

    assert identity("/a/text.txt", "1") == identity("/b/text.txt", "1")
    assert identity("/a/text.txt", "1") != identity("/a/text.txt", "2")
    assert identity("/a/text.txt", "1") != identity("/a/other.txt", "1")


def test_how_a_run_is_executed_is_no_part_of_its_identity():
    spec = convert(RunSpec, RUN)
    other = convert(RunSpec, {**RUN, "run": {"compile_mode": "graphs"}})
    assert other != spec
    assert [path for path in leaves(spec) if path.startswith("run.")] == ["run.compile_mode"]
    assert fingerprint(other) == fingerprint(spec)
    assert fingerprints(other, [0, 3]) == fingerprints(spec, [0, 3])


def test_only_how_a_sweep_is_run_and_reported_is_left_out_of_its_identity(tmp_path):
    assert EXCLUDED == ("run", "report")
    assert {"device", "dtype", "lowering", "compile"} <= set(
        json.loads(canonical_json(convert(RunSpec, RUN)))
    )
    write_samples(tmp_path)
    spec = load(tmp_path / "sweep.yaml")
    assert isinstance(spec, SweepSpec)
    for path in leaves(spec):
        other = changed(spec, path)
        if other is None or path.startswith(("base.", "variants.")):
            continue
        out = path.startswith(("run.", "report."))
        assert (fingerprint(other) == fingerprint(spec)) == out, path


def test_a_sweep_can_be_stored_and_taken_up_without_the_files_it_was_made_of(tmp_path):
    (tmp_path / "there").mkdir()
    write_samples(tmp_path)
    spec = load(tmp_path / "sweep.yaml")
    write(tmp_path / "there", copy=to_yaml(spec))
    for name in FILES:
        (tmp_path / name).unlink()
    again = load(tmp_path / "there/copy.yaml")
    assert again == spec
    assert [r.spec for r in again.expand()] == [r.spec for r in spec.expand()]
    assert SWEEP["base"] == "model.yaml"


def test_a_rule_that_is_in_no_file_is_refused_with_a_reason():
    from dataclasses import dataclass

    from memory_rules import AbstractMemoryRule

    @dataclass(frozen=True, kw_only=True)
    class Typed(AbstractMemoryRule):
        kind = "typed"

    Typed.__module__ = "__no_file__"
    model = ModelSpec(block=Lmm(memory=MemorySpec(rule=Typed())))
    with pytest.raises(SpecError, match="is in no file"):
        canonical_json(model)
    assert AttentionSpec().heads == 4


def test_the_identities_of_many_seeds_are_those_of_each():
    spec = convert(RunSpec, {**RUN, "model": {"block": BLOCK_SPECS[0]}})
    seeds = (0, 1, 7, 1_000_000)
    each = [fingerprint(replace(spec, seed=seed), "data") for seed in seeds]
    assert fingerprints(spec, seeds, "data") == each
    assert len(set(each)) == len(seeds)


@pytest.mark.parametrize("model", ["titans_lmm", "hybrid"])
def test_equal_specs_are_one_key(model: str) -> None:
    """A plan looks runs up by their specs, also those of layers that differ."""
    written = to_dict(load(MODELS / f"{model}.yaml"))
    raw = {"model": written, "task": {"kind": "text"}, "evaluate": [{"task.length": 32}]}
    one, twin = convert(RunSpec, raw), convert(RunSpec, raw)
    assert {one: "found"}[twin] == "found"
    assert replace(one, evaluate=()) not in {one: "found"}
