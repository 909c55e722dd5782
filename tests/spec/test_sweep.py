"""Sweeps: what a variant is, what is refused, and the list of runs."""

import copy

import pytest

from playground.errors import SpecError
from playground.spec import (
    BaseSpec,
    EngineSpec,
    MatchSpec,
    Mqar,
    SweepSpec,
    TrainSpec,
    TuneSpec,
    VariantSpec,
    fingerprint,
    load,
)
from tests.spec.samples import SWEEP, write, write_samples


def sweep(folder, **changes):
    write_samples(folder)
    write(folder, s={**copy.deepcopy(SWEEP), **changes})
    return load(folder / "s.yaml")


def runs_of(spec: SweepSpec):
    return {run.variant: run for run in reversed(spec.expand())}


def test_every_variant_has_the_same_seeds_and_the_baseline_comes_first(tmp_path):
    runs = sweep(tmp_path).expand()
    names = ["full", "full", "linear-memory", "linear-memory", "no-conv", "no-conv"]
    assert [run.variant for run in runs] == names
    assert [run.seed for run in runs] == [run.spec.seed for run in runs] == [0, 1] * 3
    assert len({fingerprint(run.spec) for run in runs}) == 6


def test_a_pattern_that_gives_the_same_layers_is_no_variant(tmp_path):
    attention = {"kind": "attention", "attention": {"heads": 2}}
    layers = {"pattern": "3I 1A", "I": {"kind": "conv"}, "A": attention}
    base = {"vocab": 128, "dim": 8, "depth": 4, "layers": layers}
    for same in ({"layers.B": {"kind": "conv"}}, {"layers.at.3": attention}):
        with pytest.raises(SpecError, match="is equal to its baseline"):
            sweep(tmp_path, base=base, variants={"same": same}).expand()
    other = {"other": {"layers.at.2": attention}}
    assert len(sweep(tmp_path, base=base, variants=other).expand()) == 4


def test_seeds_may_be_listed(tmp_path):
    assert [run.seed for run in sweep(tmp_path, seeds=[7, 3]).expand()] == [7, 3] * 3


def test_metrics_of_a_split_that_is_not_read_are_refused(tmp_path):
    unread = {"steps": 2, "score_test": False}
    with pytest.raises(SpecError, match=r"report\.metrics: test/loss .*score_test"):
        sweep(tmp_path, train=unread, report={"metrics": ["val/loss", "test/loss"]})
    assert sweep(tmp_path, train=unread, report={"metrics": ["val/loss"]}).expand()


def test_a_variant_differs_from_the_base_in_what_it_says_and_nothing_else(tmp_path):
    runs = runs_of(sweep(tmp_path))
    full, linear = runs["full"].spec.model, runs["linear-memory"].spec.model
    assert linear == load(tmp_path / "model.yaml", "block.memory.network=linear")
    assert full == load(tmp_path / "model.yaml")


def test_a_variant_may_change_the_task_or_the_training(tmp_path):
    variants = {
        "slow": {"train.optim.lr": 1e-4},
        "hard": {"task.pairs": 3},
        "nested": {"block": {"memory": {"depth": 1, "kind": "titans"}}},
    }
    runs = runs_of(sweep(tmp_path, variants=variants))
    assert runs["slow"].spec.train.optim.lr == 1e-4
    assert runs["hard"].spec.task.pairs == 3
    assert runs["nested"].spec.model.block.memory.rule.depth == 1
    assert runs["slow"].spec.model == runs["full"].spec.model


def test_a_variant_with_extends_replaces_the_model_and_keeps_the_bases_own_overrides(tmp_path):
    base = {"extends": "model.yaml", "dim": 32, "block.memory.chunk_size": 8, "depth": 4}
    variants = {"hybrid": {"extends": "hybrid.yaml", "layers.M.memory.conv": 2}}
    runs = runs_of(sweep(tmp_path, base=base, variants=variants))
    model = runs["hybrid"].spec.model
    assert (model.dim, model.depth, model.block) == (32, 4, None)
    assert model.layers.symbols["M"].memory.conv == 2
    assert runs["hybrid"].dropped == ("block.memory.chunk_size",)
    assert runs["full"].dropped == ()
    assert runs["full"].spec.model.block.memory.rule.chunk_size == 8


def test_a_variant_that_changes_a_kind_keeps_what_the_base_wrote_and_the_new_kind_knows(tmp_path):
    variants = {"delta": {"block.memory.kind": "delta"}}
    memory = runs_of(sweep(tmp_path, variants=variants))["delta"].spec.model.block.memory
    assert (memory.rule.kind, memory.rule.max_lr, memory.heads) == ("delta", 0.03, 4)


def test_the_base_may_be_a_path_or_a_mapping_nested_or_dotted(tmp_path):
    nested = {"extends": "model.yaml", "block": {"memory": {"depth": 1}}}
    dotted = {"extends": "model.yaml", "block.memory.depth": 1}
    first = [run.spec for run in sweep(tmp_path, base=nested).expand()]
    second = [run.spec for run in sweep(tmp_path, base=dotted).expand()]
    assert first == second
    assert first[0].model == load(tmp_path / "model.yaml", "block.memory.depth=1")


def test_layers_replace_the_block_of_what_base_and_variants_extend(tmp_path):
    layers = {"pattern": "1C", "C": {"kind": "conv"}}
    base = {"extends": "model.yaml", "layers": layers}
    found = runs_of(sweep(tmp_path, base=base, baseline="full", variants={"thin": {"dim": 32}}))
    assert [run.spec.model.block for run in found.values()] == [None, None]
    found = runs_of(sweep(tmp_path, variants={"thin": {"layers": layers}}))
    assert found["full"].spec.model.layers is None
    assert found["thin"].spec.model.layers.pattern == "1C"


def test_the_base_may_be_written_out_in_the_sweep(tmp_path):
    inline = {"kind": "model", "vocab": 128, "dim": 8, "block": {"kind": "none"}}
    variants = {"conv": {"block.kind": "conv"}}
    runs = runs_of(sweep(tmp_path, base=inline, variants=variants))
    assert (runs["full"].spec.model.dim, runs["conv"].spec.model.block.kind) == (8, "conv")


def test_the_baseline_may_be_one_of_the_variants(tmp_path):
    names = [run.variant for run in sweep(tmp_path, baseline="no-conv", seeds=1).expand()]
    assert names == ["no-conv", "linear-memory"]


@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        ({"block.memory.network": "mlp"}, "equal to its baseline 'full'"),
        ({"extends": "model.yaml"}, "equal to its baseline 'full'"),
        ({"block.memory.conv": 0}, "equal to the variant 'no-conv'"),
        ({"block.memory.convs": 0}, "Did you mean 'conv'"),
        ({"seed": 3}, "the seeds are those of the sweep"),
    ],
)
def test_a_variant_that_changes_nothing_or_matches_nothing_is_an_error(tmp_path, variant, problem):
    with pytest.raises(SpecError, match=problem) as caught:
        sweep(tmp_path, variants={**SWEEP["variants"], "odd": variant})
    assert caught.value.path.startswith("variants.odd")


def test_a_grid_is_a_product_and_the_bases_own_place_is_the_baseline(tmp_path):
    grid = {"block.memory.chunk_size": [8, 16], "dim": [64, 128]}
    names = [run.variant for run in sweep(tmp_path, grid=grid, variants={}, seeds=1).expand()]
    assert names == [
        "full",
        "block.memory.chunk_size=8, dim=64",
        "block.memory.chunk_size=8, dim=128",
        "block.memory.chunk_size=16, dim=128",
    ]


def test_a_grid_over_variants_runs_each_at_every_point(tmp_path):
    spec = sweep(tmp_path, grid={"dim": [64, 128]}, seeds=1)
    names = [run.variant for run in spec.expand()]
    assert names == [
        *("full", "full, dim=128", "linear-memory", "linear-memory, dim=128"),
        *("no-conv", "no-conv, dim=128"),
    ]
    assert runs_of(spec)["no-conv, dim=128"].spec.model.dim == 128


def test_keys_of_a_zip_move_together_at_every_point_of_the_grid(tmp_path):
    together = {"dim": [64, 128], "train.batch": [16, 8]}
    names = [run.variant for run in sweep(tmp_path, zip=together, variants={}, seeds=1).expand()]
    assert names == ["full", "dim=64, train.batch=16", "dim=128, train.batch=8"]
    grid = {"block.memory.chunk_size": [8, 16]}
    spec = sweep(tmp_path, zip=together, grid=grid, variants={}, seeds=1)
    assert [run.variant for run in spec.expand()] == [
        "full",
        *(f"block.memory.chunk_size={n}, {name}" for n in (8, 16) for name in names[1:]),
    ]
    last = runs_of(spec)["block.memory.chunk_size=16, dim=128, train.batch=8"].spec
    assert (last.model.dim, last.train.batch) == (128, 8)


@pytest.mark.parametrize(
    ("together", "path", "problem"),
    [
        ({"dim": [64, 128], "depth": [1]}, "zip.depth", "it has 1 values, dim 2"),
        ({"dim": [64, 128, 64], "depth": [1, 2, 1]}, "zip", "two of its points are the same"),
        ({"dim": [], "depth": []}, "zip", "there are no values"),
        ({"train.steps": [64, 128]}, "zip.train.steps", "a key of the grid"),
        ({"train.batch": [64, 128], "batch": [1, 2]}, "zip", "overlaps"),
        ({"convv": [1, 2]}, "zip.convv", "Did you mean 'model.block.memory.conv'"),
        ({"block.memory.conv": ["a", "b"]}, "zip.block.memory.conv", "not a whole number"),
    ],
)
def test_a_zip_that_is_none_is_an_error_where_it_is_written(tmp_path, together, path, problem):
    with pytest.raises(SpecError, match=problem) as caught:
        sweep(tmp_path, variants={}, grid={"train.steps": [8, 16]}, zip=together)
    assert caught.value.path.startswith(path)


def test_a_point_that_is_another_once_it_is_read_is_refused(tmp_path):
    clip = {"train.optim.clip": [1, 1.0]}  # that of the base, too
    for where in ("grid", "zip"):
        for variants in ({}, SWEEP["variants"]):
            with pytest.raises(SpecError, match=rf"^{where}: train.optim.clip=1.0 is there twice"):
                sweep(tmp_path, variants=variants, **{where: clip}).expand()
        with pytest.raises(SpecError, match="equal to the variant"):
            sweep(tmp_path, variants={}, **{where: {"train.optim.clip": [2, 2.0]}}).expand()


def test_an_error_of_a_point_names_the_place_where_it_is_written(tmp_path):
    with pytest.raises(SpecError, match=r"^grid\.depth"):
        sweep(tmp_path, grid={"depth": [1, "x"]}, zip={"dim": [64, 128]}).expand()
    with pytest.raises(SpecError, match=r"^zip\.dim"):
        sweep(tmp_path, grid={"depth": [1, 2]}, zip={"dim": [64, "x"]}).expand()


def test_a_zip_is_crossed_with_variants_and_takes_nothing_that_is_tuned(tmp_path):
    together = {"dim": [64, 128], "depth": [1, 2]}
    names = [run.variant for run in sweep(tmp_path, zip=together, seeds=1).expand()]
    assert "no-conv, dim=128, depth=2" in names and "linear-memory, dim=128, depth=2" in names
    tune = {"grid": {"train.optim.lr": [1e-3, 3e-3]}}
    rates = {"train.optim.lr": [1e-3, 3e-3], "dim": [64, 128]}
    with pytest.raises(SpecError, match=r"zip\.train\.optim\.lr: .*tuning finds"):
        sweep(tmp_path, zip=rates, tune=tune).expand()


def test_every_variant_is_run_at_every_place_that_scores_are_means_over(tmp_path):
    places = {"train.batch": [8, 16], "train.steps": [32, 64]}
    runs = sweep(tmp_path, across=places).expand()
    assert [(run.variant, run.at, run.seed) for run in runs] == [
        (variant, f"train.batch={batch}, train.steps={steps}", seed)
        for variant in ("full", "linear-memory", "no-conv")
        for batch in (8, 16)
        for steps in (32, 64)
        for seed in (0, 1)
    ]
    for run in runs:
        at = f"train.batch={run.spec.train.batch}, train.steps={run.spec.train.steps}"
        assert run.at == at and run.spec.seed == run.seed
    assert len({fingerprint(run.spec) for run in runs}) == len(runs)
    crossed = sweep(tmp_path, across=places, grid={"dim": [64, 128]}, seeds=1).expand()
    assert len(crossed) == 2 * 3 * 4
    assert {run.at for run in crossed if run.variant == "no-conv, dim=128"} == {r.at for r in runs}
    alone = sweep(tmp_path, across=places, variants={}, seeds=1).expand()
    assert [run.variant for run in alone] == ["full"] * 4


def test_variants_differ_if_they_do_at_any_place(tmp_path):
    block = {"kind": "lmm", "memory": {"kind": "titans", "heads": 1}}
    plain = {"vocab": 128, "dim": 8, "depth": 1, "block": block}
    token = {"variants": {"token": {"block.memory.momentum": "token"}}, "base": plain, "seeds": 1}
    with pytest.raises(SpecError, match="equal to its baseline"):
        sweep(tmp_path, **token)
    kinds = {"block.memory.kind": ["titans", "omega"]}  # omega has none unless it is said
    runs = sweep(tmp_path, across=kinds, **token).expand()
    assert [run.variant for run in runs] == ["full", "full", "token", "token"]
    grid = {"block.memory.momentum": ["token", "none"]}
    runs = sweep(tmp_path, across=kinds, grid=grid, base=plain, variants={}, seeds=1).expand()
    found = {(run.variant, run.at): run.spec.model.block.memory.rule.momentum for run in runs}
    for value in ("token", "none"):  # at both kinds, and not as it is where nothing is said
        name = f"block.memory.momentum={value}"
        assert [rule for (variant, _), rule in found.items() if variant == name] == [value] * 2


@pytest.mark.parametrize(
    ("places", "path", "problem"),
    [
        ({"train.batch": []}, "across.train.batch", "not a list of different values"),
        ({"train.batch": [8, "x"]}, "across.train.batch", "not a whole number"),
        ({"train.bach": [8, 16]}, "across.train.bach", "Did you mean 'batch'"),
        ({"train.optim.clip": [2, 2.0]}, "across", "clip=2.0 is the same run as .*clip=2"),
        ({"block.memory.conv": [2, 4]}, "across.block.memory.conv", "overlaps"),  # of no-conv
        ({"seed": [0, 1]}, "across.seed", "the seeds are those of the sweep"),
        ({"dim": [64, 66]}, "across.block.memory.heads", "66"),  # of the field that does not fit
        ({"train.steps": [8]}, "across.train.steps", "a key of the grid, too"),
    ],
)
def test_places_that_are_none_are_an_error_where_they_are_written(tmp_path, places, path, problem):
    grid = {"train.steps": [16, 32]} if "train.steps" in places else {}
    with pytest.raises(SpecError, match=problem) as caught:
        sweep(tmp_path, across=places, grid=grid).expand()
    assert caught.value.path.startswith(path)


@pytest.mark.parametrize("where", ["base", "tune"])
def test_two_keys_of_one_field_are_refused_wherever_they_are_written(tmp_path, where):
    keys = {"base": ("block.memory.conv", "memory.conv"), "tune": ("train.optim.lr", "optim.lr")}
    first, second = keys[where]
    changed = {
        "base": {"base": {"extends": "model.yaml", first: 0, second: 2}},
        "tune": {"tune": {"grid": {first: [1e-3], second: [1e-2]}}},
    }
    with pytest.raises(SpecError, match=f"{second}: overlaps {first!r}"):
        sweep(tmp_path, **changed[where]).expand()


def test_the_execution_of_every_run_is_that_of_the_sweep(tmp_path):
    spec = sweep(tmp_path, device="cpu", dtype="fp32", lowering="recurrent", compile=False)
    run = spec.expand()[-1].spec
    assert (run.device, run.dtype, run.lowering, run.compile) == ("cpu", "fp32", "recurrent", False)


def test_tune_match_and_the_rest_are_read_in_full(tmp_path):
    tune = {"grid": {"train.optim.lr": [3e-4, 1e-3]}, "seeds": 2, "edge": "warn"}
    match = {"params": 0.02, "by": "block.feedforward.expand"}
    spec = sweep(tmp_path, tune=tune, match=match, run={"engine": "ray", "workers": "auto"})
    assert spec.tune == TuneSpec(grid={"train.optim.lr": (3e-4, 1e-3)}, seeds=2, edge="warn")
    assert spec.match == MatchSpec(params=0.02)
    assert spec.run == EngineSpec(engine="ray", workers="auto")


@pytest.mark.parametrize("field", ["workers", "threads", "vectorize"])
def test_counts_of_the_execution_are_positive(tmp_path, field):
    with pytest.raises(SpecError, match=rf"run\.{field}.*0 is not a positive count"):
        sweep(tmp_path, run={field: 0})


def test_a_sweep_built_in_python_gives_the_runs_of_its_yaml(tmp_path):
    loaded = sweep(tmp_path)
    twin = SweepSpec(
        base=BaseSpec.of(load(tmp_path / "model.yaml")),
        task=Mqar(vocab=128, length=32, pairs=2),
        train=TrainSpec(steps=10, batch=2),
        variants={
            "linear-memory": VariantSpec(overrides={"block.memory.network": "linear"}),
            "no-conv": VariantSpec(overrides={"block.memory.conv": 0}),
        },
        seeds=2,
    )
    assert [fingerprint(run.spec) for run in twin.expand()] == [
        fingerprint(run.spec) for run in loaded.expand()
    ]


def test_a_sweep_that_extends_a_sweep_replaces_bases_and_variants_that_name_a_model(tmp_path):
    sweep(tmp_path, variants={"a": {"extends": "hybrid.yaml"}, "b": {"depth": 3}})
    child = {
        "extends": "s.yaml",
        "base": "hybrid.yaml",
        "variants": {"a": {"extends": "model.yaml"}},
    }
    write(tmp_path, child=child)
    runs = runs_of(load(tmp_path / "child.yaml"))
    assert runs["full"].spec.model == load(tmp_path / "hybrid.yaml")
    assert runs["a"].spec.model == load(tmp_path / "model.yaml")
    assert runs["b"].spec.model.depth == 3
