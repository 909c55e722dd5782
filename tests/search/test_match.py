"""Variants made as large as their baseline, or said not to be."""

from dataclasses import replace

import pytest

import playground as pg
from playground.errors import SpecError
from playground.spec import BaseSpec, MatchSpec, TuneSpec, VariantSpec, to_dict
from playground.train.costs import costs_of_run, costs_of_spec
from search.plan import plan_sweep
from tests.search.test_plan import SWEEP
from tests.train.small import ATTENTION

DELTA = {"kind": "delta", "heads": 2}
WIDE_ENOUGH = replace(SWEEP, base=BaseSpec.of(replace(ATTENTION, dim=64)))
VARIANTS = {
    "narrow": VariantSpec(overrides={"block.attention.kv_heads": 1}),
    "wide": VariantSpec(overrides={"persistent_tokens": 24}),
    "slow": VariantSpec(overrides={"train.optim.lr": 1e-4}),
}


@pytest.mark.parametrize("size", ["params", "flops"])
def test_a_variant_gets_the_size_of_its_baseline_and_nothing_else_changes(size: str) -> None:
    spec = replace(WIDE_ENOUGH, variants=VARIANTS, match=MatchSpec(**{size: 0.02}))
    plan = plan_sweep(spec, "matched")
    name = {"params": "params", "flops": "flops_per_token"}[size]
    models = {job.variant: job.spec.model for job in plan.jobs}
    costs = {job.variant: getattr(costs_of_run(job.spec), name) for job in plan.jobs}
    for variant, found in plan.matched.items():
        assert found.ok and abs(costs[variant] / costs["full"] - 1) <= 0.02
        assert found.ratio == pytest.approx(costs[variant] / costs["full"])
    assert plan.matched["slow"].value is None and models["slow"] == models["full"]
    assert set(plan.overrides["narrow"]) <= {
        "block.attention.kv_heads",
        "block.feedforward.expand",
    }
    assert plan.to_dict()["matched"]["wide"]["ok"] is True


def test_sizes_are_matched_at_every_place_by_itself() -> None:
    wide = {"wide": VARIANTS["wide"]}
    spec = replace(
        WIDE_ENOUGH, variants=wide, match=MatchSpec(params=0.02), across={"dim": (64, 128)}, seeds=1
    )
    plan = plan_sweep(spec, "matched")
    params = {(job.variant, job.at): costs_of_run(job.spec).params for job in plan.jobs}
    ratios = [params["wide", at] / params["full", at] for at in ("dim=64", "dim=128")]
    assert params["full", "dim=128"] > 2 * params["full", "dim=64"]
    assert all(abs(ratio - 1) <= 0.02 for ratio in ratios)
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    assert plan.matched["wide"].ok and plan.matched["wide"].ratio == pytest.approx(worst)


def test_a_variant_that_cannot_be_matched_everywhere_is_left_alone_everywhere() -> None:
    wide = {"wide": VariantSpec(overrides={"persistent_tokens": 64})}
    spec = replace(
        WIDE_ENOUGH, variants=wide, match=MatchSpec(params=0.02), across={"dim": (8, 128)}, seeds=1
    )
    plan = plan_sweep(spec, "matched")
    one = plan_sweep(replace(spec, across={"dim": (128,)}), "one")
    assert one.matched["wide"].ok and one.matched["wide"].value is not None
    models = {job.at: job.spec.model for job in plan.jobs if job.variant == "wide"}
    written = {run.at: run.spec.model for run in spec.expand() if run.variant == "wide"}
    assert models == written
    assert not plan.matched["wide"].ok and plan.matched["wide"].value is None


def test_what_no_value_matches_is_left_alone_and_said() -> None:
    wide = {"wide": VariantSpec(overrides={"block.feedforward.expand": 4.0})}
    spec = replace(SWEEP, variants=wide, match=MatchSpec(params=0.001, by="depth"))
    plan = plan_sweep(spec, "matched")
    found = plan.matched["wide"]
    assert not found.ok and found.value is None and found.ratio > 1.001
    models = {job.variant: job.spec.model for job in plan.jobs}
    assert models["wide"] == plan_sweep(replace(spec, match=None), "plain").jobs[-1].spec.model


@pytest.mark.parametrize("by", ["block.foo", "block.kind", "block.attention.heads.foo"])
def test_what_no_variant_has_is_no_field_to_match_by(by: str) -> None:
    spec = replace(SWEEP, variants=VARIANTS, match=MatchSpec(params=0.02, by=by))
    with pytest.raises(SpecError, match=f"match.by: '{by}' is none of any variant"):
        plan_sweep(spec, "matched")


@pytest.mark.parametrize("length", [64, 1024])
def test_sizes_are_those_of_the_runs_length_and_form(length: int) -> None:
    spec = replace(
        WIDE_ENOUGH,
        variants={"memory": VariantSpec(overrides={"block": {"kind": "lmm", "memory": DELTA}})},
        task=replace(WIDE_ENOUGH.task, length=length),
        match=MatchSpec(flops=1e-6, by="depth"),
        lowering="recurrent",
    )
    plan = plan_sweep(spec, "matched")
    costs = [costs_of_run(job.spec).flops_per_token for job in (plan.jobs[-1], plan.jobs[0])]
    assert plan.matched["memory"].ratio == pytest.approx(costs[0] / costs[1])
    assert costs[0] != costs_of_spec(plan.jobs[-1].spec.model, length).flops_per_token


def test_what_is_matched_by_is_nobodys_own() -> None:
    match, key = MatchSpec(params=0.02), "block.feedforward.expand"
    for variant in ({key: 4.0}, {"block.feedforward": {"expand": 4.0}}, {"feedforward.expand": 4}):
        spec = replace(WIDE_ENOUGH, variants={"wide": VariantSpec(overrides=variant)}, match=match)
        with pytest.raises(SpecError, match=r"variants\.wide\..*its size asks for"):
            plan_sweep(spec, "matched")
    grid = replace(WIDE_ENOUGH, variants={}, grid={key: (2.0, 4.0)}, match=match)
    with pytest.raises(SpecError, match=r"grid\.block.*its size asks for"):
        plan_sweep(grid, "matched")
    tuned = replace(WIDE_ENOUGH, tune=TuneSpec(grid={key: (2.0, 4.0)}), match=match)
    with pytest.raises(SpecError, match=r"^tune\.grid\.block.*its size asks for"):
        plan_sweep(tuned, "matched")


def test_a_variant_that_matching_makes_its_baseline_is_refused() -> None:
    model = to_dict(pg.override(WIDE_ENOUGH.expand()[0].spec, {"feedforward.expand": 2.0}).model)
    spec = replace(
        WIDE_ENOUGH,
        variants={"own": VariantSpec(extends=model)},
        match=MatchSpec(params=0.02),
    )
    with pytest.raises(SpecError, match=r"variants\.own: it differs from 'full' in block.* alone"):
        plan_sweep(spec, "matched")


def test_a_width_is_matched_by_one_that_heads_divide() -> None:
    base = BaseSpec.of(replace(ATTENTION, dim=96))
    deep = {"deep": VariantSpec(overrides={"depth": 2 * ATTENTION.depth})}
    spec = replace(SWEEP, base=base, variants=deep, match=MatchSpec(params=0.05, by="dim"))
    plan = plan_sweep(spec, "matched")
    found = plan.matched["deep"]
    assert found.ok and isinstance(found.value, int) and 48 < found.value < 96
