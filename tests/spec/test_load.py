"""Loading: layers, changes of kind, words of the command line, paths."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from blocks.spec import Attention, Conv, FeedForwardSpec, Lmm, Mac, MemorySpec
from memory_rules import RULES
from playground.errors import SpecError
from playground.spec import (
    LayersSpec,
    ModelSpec,
    RunSpec,
    Text,
    convert,
    load,
    load_model,
    load_run,
)
from playground.spec.canonical import portable
from tests.spec.samples import HYBRID, MODEL, RUN, write, write_samples

RULE = """
from dataclasses import dataclass
from memory_rules import AbstractGradientRule

@dataclass(frozen=True, kw_only=True)
class Leaky(AbstractGradientRule):
    leak: float = 0.1
    chunk_size: int = 8
    def shapes(self, dim): return {"w": (dim, dim)}
    def read(self, dense, x): return dense("w", x)
    def objective(self, prediction, target): return (prediction - target).square().sum()
"""


def titans(**fields):
    return RULES["titans"](**fields)


def test_yaml_and_python_give_the_same_object(tmp_path):
    write(tmp_path, m={"kind": "model", "block": {"kind": "lmm", "memory": {"kind": "titans"}}})
    assert load(tmp_path / "m.yaml") == ModelSpec(block=Lmm(memory=MemorySpec(rule=titans())))


def test_keys_of_the_rule_and_of_the_layer_around_it_stand_side_by_side(tmp_path):
    memory = {"kind": "titans", "depth": 3, "heads": 2, "conv": 0, "max_lr": 1}
    write(tmp_path, m={"kind": "model", "block": {"kind": "lmm", "memory": memory}})
    block = load(tmp_path / "m.yaml").block
    assert block.memory == MemorySpec(rule=titans(depth=3, max_lr=1.0), heads=2, conv=0)
    assert isinstance(block.memory.rule.max_lr, float)


def test_layers_are_a_pattern_with_exceptions(tmp_path):
    write(tmp_path, m=HYBRID)
    spec = load(tmp_path / "m.yaml")
    assert [block.kind for block in spec.blocks()] == ["conv", "lmm", "lmm", "attention"]
    assert isinstance(spec.layers, LayersSpec)
    assert spec.layers.cycle() == ("M", "M", "M", "A")


def test_a_pattern_repeats_over_the_depth(tmp_path):
    write(tmp_path, m=HYBRID)
    spec = load(tmp_path / "m.yaml", "depth=7", "layers.pattern=2A M")
    kinds = [block.kind for block in spec.blocks()]
    assert kinds == ["conv", "attention", "lmm", "attention", "attention", "lmm", "attention"]


def test_this_file_wins_over_what_it_extends_and_words_win_over_both(tmp_path):
    write(tmp_path, a=MODEL, b="extends: a.yaml\ndim: 128\ndepth: 3\n")
    assert (load(tmp_path / "b.yaml").dim, load(tmp_path / "b.yaml").vocab) == (128, 256)
    spec = load(tmp_path / "b.yaml", "depth=5")
    assert (spec.dim, spec.depth) == (128, 5)


def test_of_several_files_extended_the_later_wins(tmp_path):
    write(tmp_path, a=MODEL, b="kind: model\ndim: 128\ndepth: 7", c="extends: [a.yaml, b.yaml]")
    spec = load(tmp_path / "c.yaml")
    assert (spec.dim, spec.depth, spec.block.kind) == (128, 7, "mac")


def test_a_path_is_relative_to_the_file_it_is_written_in(tmp_path):
    for folder in ("models", "runs", "deep/rules"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "deep/rules/own.py").write_text(RULE)
    (tmp_path / "deep/text.txt").write_text("hello")
    write(tmp_path / "models", m=MODEL)
    memory = {"kind": "rules/own.py:Leaky", "leak": 0.2}
    child = {"extends": "../models/m.yaml", "block": {"kind": "lmm", "memory": memory}}
    write(tmp_path / "deep", child=child)
    task = {"kind": "text", "corpus": "../deep/text.txt"}
    write(tmp_path / "runs", r={"kind": "run", "model": "../deep/child.yaml", "task": task})
    run = load(tmp_path / "runs/r.yaml")
    assert run.task == Text(corpus=str(tmp_path / "deep/text.txt"))
    assert type(run.model.block.memory.rule).__name__ == "Leaky"
    assert (run.model.block.memory.rule.leak, run.model.block.memory.heads) == (0.2, 4)


def test_facts_and_words_lie_beside_the_yaml_too_and_their_folder_is_no_identity(tmp_path):
    for where in ("here", "there"):
        (tmp_path / where / "babi").mkdir(parents=True)
        write(tmp_path / where, model=MODEL)
        task = {"kind": "babilong", "facts": "babi", "vocab": 256}
        write(tmp_path / where, r={"kind": "run", "model": "model.yaml", "task": task})
        task = {"kind": "niah", "words": "babi"}
        write(tmp_path / where, w={"kind": "run", "model": "model.yaml", "task": task})
    here = load(tmp_path / "here/r.yaml", "vocab=256")
    assert here.task.facts == str(tmp_path / "here/babi")
    assert load(tmp_path / "here/w.yaml", "vocab=256").task.words == str(tmp_path / "here/babi")
    there = load(tmp_path / "there/r.yaml", "vocab=256")
    assert portable(here) == portable(there)
    assert here != there


def test_a_path_in_a_word_is_relative_to_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(RULE)
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", m=MODEL)
    monkeypatch.chdir(tmp_path)
    spec = load("sub/m.yaml", "memory.kind=own.py:Leaky")
    assert type(spec.block.memory.rule).__name__ == "Leaky"


def test_a_change_of_kind_keeps_the_keys_that_both_know_and_drops_the_others(tmp_path):
    write(tmp_path, a=MODEL, b="extends: a.yaml\nblock: {kind: lmm, memory: {kind: delta}}\n")
    block = load(tmp_path / "b.yaml").block
    assert isinstance(block, Lmm)
    assert (block.memory.heads, block.memory.conv) == (4, 4)
    assert block.memory.rule == RULES["delta"](max_lr=0.03)
    assert block.feedforward == FeedForwardSpec(expand=2.5)


def test_a_change_of_kind_drops_an_inherited_value_of_the_wrong_type(tmp_path):
    write(tmp_path, m=MODEL)
    spec = load(tmp_path / "m.yaml", "memory.max_lr=auto")
    assert spec.block.memory.rule.max_lr == "auto"
    (tmp_path / "a.yaml").write_text("extends: m.yaml\nblock: {memory: {max_lr: auto}}\n")
    spec = load(tmp_path / "a.yaml", "memory.kind=delta")
    assert spec.block.memory.rule == RULES["delta"]()


def test_words_that_change_a_kind_come_first_wherever_they_stand(tmp_path):
    write(tmp_path, m=MODEL)
    words = ("block.window_len=32", "memory.max_lr=0.25", "block.kind=mag", "memory.kind=delta")
    block = load(tmp_path / "m.yaml", *words).block
    assert (block.kind, block.window_len) == ("mag", 32)
    assert block.memory.rule == RULES["delta"](max_lr=0.25)


def test_naming_layers_on_top_of_block_replaces_it_and_the_reverse(tmp_path):
    layers = {key: value for key, value in HYBRID.items() if key == "layers"}
    write(tmp_path, a=MODEL, b={"extends": "a.yaml", "depth": 4, **layers})
    write(tmp_path, c="extends: b.yaml\nblock: {kind: attention}\n")
    assert load(tmp_path / "b.yaml").block is None
    assert load(tmp_path / "c.yaml").block == Attention()
    assert load(tmp_path / "c.yaml").layers is None


def test_words_that_name_layers_whole_replace_the_block_and_the_reverse(tmp_path):
    write(tmp_path, a=MODEL, r={"kind": "run", "model": "a.yaml", "task": {"kind": "text"}})
    words = ("layers.pattern=1C", "layers.C.kind=conv")
    assert load(tmp_path / "a.yaml", *words).block is None
    at_once = "layers={pattern: 1C, C: {kind: conv}}"
    assert load(tmp_path / "a.yaml", at_once) == load(tmp_path / "a.yaml", *words)
    assert load(tmp_path / "r.yaml", *words).model.layers.symbols == {"C": Conv()}
    write(tmp_path, b={"extends": "a.yaml", "layers": {"pattern": "1C", "C": {"kind": "conv"}}})
    assert load(tmp_path / "b.yaml", "block.kind=conv").layers is None
    with pytest.raises(SpecError, match="both block and layers"):
        load(tmp_path / "a.yaml", at_once, "block.kind=conv")
    with pytest.raises(SpecError, match="this spec has no block"):
        load(tmp_path / "b.yaml", "block.feedforward.expand=2")


def test_a_key_may_be_any_ending_that_only_one_path_has(tmp_path):
    write_samples(tmp_path)
    run = load(tmp_path / "run.yaml", "chunk_size=32", "dim=128", "optim.lr=3e-4", "steps=7")
    assert run.model.block.memory.rule.chunk_size == 32
    assert (run.model.dim, run.train.optim.lr, run.train.steps) == (128, 3e-4, 7)


def test_an_ending_that_several_paths_have_is_an_error_that_names_them(tmp_path):
    write_samples(tmp_path)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "run.yaml", "lr=1")
    assert caught.value.allowed == ("model.block.memory.lr", "train.optim.lr")


def test_a_run_is_made_of_a_bare_model_and_words(tmp_path):
    write_samples(tmp_path)
    run = load_run(tmp_path / "model.yaml", "task.kind=text", "task.length=64", "depth=3", "seed=4")
    assert run.model == load(tmp_path / "model.yaml", "depth=3")
    assert (run.task, run.seed) == (Text(length=64), 4)
    with pytest.raises(SpecError, match="task: is missing"):
        load_run(tmp_path / "model.yaml")


def test_a_run_may_extend_a_model_and_change_it_by_nested_or_dotted_keys(tmp_path):
    write_samples(tmp_path)
    model = {"extends": "model.yaml", "depth": 3, "block": {"segment_len": 32}}
    run = {"kind": "run", "model": {**model, "block.memory.depth": 1}, "task": {"kind": "text"}}
    write(tmp_path, r=run)
    loaded = load(tmp_path / "r.yaml").model
    expected = ("depth=3", "block.segment_len=32", "block.memory.depth=1")
    assert loaded == load(tmp_path / "model.yaml", *expected)


def test_a_run_that_extends_a_run_replaces_its_model_by_one_of_its_own(tmp_path):
    write_samples(tmp_path)
    write(tmp_path, r={"extends": "run.yaml", "model": {"extends": "hybrid.yaml"}, "seed": 3})
    run = load(tmp_path / "r.yaml")
    assert run.model == load(tmp_path / "hybrid.yaml")
    assert (run.seed, run.train) == (3, load(tmp_path / "run.yaml").train)


def test_the_model_of_a_run_or_of_a_model_file_can_be_had_alone(tmp_path):
    write_samples(tmp_path)
    assert load_model(tmp_path / "run.yaml") == load_model(tmp_path / "model.yaml")
    with pytest.raises(SpecError, match="of kind sweep"):
        load_model(tmp_path / "sweep.yaml")


def test_the_folder_of_an_exported_model_loads_by_its_spec(tmp_path):
    write(tmp_path, spec=MODEL)
    assert load(tmp_path) == load(tmp_path / "spec.yaml")


def test_numbers_read_as_people_write_them(tmp_path):
    write_samples(tmp_path)
    optim = load(
        tmp_path / "run.yaml", "optim.lr=1e-4", "optim.clip=2", "optim.eps=1E-6"
    ).train.optim
    assert (optim.lr, optim.clip, optim.eps) == (1e-4, 2.0, 1e-6)
    assert isinstance(optim.clip, float)
    with pytest.raises(SpecError, match=r"'1e-4' is not a number"):
        load(tmp_path / "run.yaml", "optim.lr='1e-4'")


def test_null_takes_back_an_inherited_choice(tmp_path):
    write_samples(tmp_path)
    spec = load(tmp_path / "model.yaml", "attention.kv_heads=null")
    assert isinstance(spec.block, Mac)
    assert spec.block.attention.kv_heads is None


def test_references_inside_a_file_are_resolved(tmp_path):
    text = "kind: model\ndim: 64\ndepth: 2\nblock:\n  kind: lmm\n"
    write(tmp_path, m=text + "  memory: {kind: titans, heads: '${depth}'}\n")
    assert load(tmp_path / "m.yaml").block.memory.heads == 2


def test_a_rule_of_ones_own_that_hides_a_key_of_the_layer_is_refused(tmp_path):
    (tmp_path / "own.py").write_text(RULE.replace("leak:", "conv:"))
    write(tmp_path, m=MODEL)
    with pytest.raises(SpecError, match="has a field 'conv'"):
        load(tmp_path / "m.yaml", f"memory.kind={tmp_path}/own.py:Leaky")


@pytest.mark.parametrize("source", ["x = (", "import nothing_of_that_name", "class Leaky: pass"])
def test_a_rule_file_that_does_not_give_a_rule_is_an_error_of_kind(tmp_path, source):
    (tmp_path / "own.py").write_text(source)
    write(tmp_path, m=MODEL)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "m.yaml", f"memory.kind={tmp_path}/own.py:Leaky")
    assert caught.value.path == "block.memory.kind"


def test_loading_does_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    write_samples(tmp_path)
    here = load(tmp_path / "sweep.yaml")
    monkeypatch.chdir(tmp_path)
    assert load(Path("sweep.yaml")) == here
    assert isinstance(load("run.yaml"), RunSpec)
    assert RUN["model"]["dim"] == 64


@dataclass(frozen=True)
class WholeFirst:
    width: int | float


@dataclass(frozen=True)
class FractionFirst:
    width: float | int


def test_a_union_reads_by_its_own_order_though_python_says_that_both_are_equal() -> None:
    for _ in range(2):
        assert type(convert(WholeFirst, {"width": 1}).width) is int
        assert type(convert(FractionFirst, {"width": 1}).width) is float
