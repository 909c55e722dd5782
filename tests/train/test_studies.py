"""The paper's studies in specs/sweeps: each changes what it says, and nothing else."""

from pathlib import Path

import pytest

from playground.compile import classify
from playground.spec import RunSpec, SweepSpec, load
from playground.spec.expand import evaluations
from playground.train.under import check_evaluations

SWEEPS = Path(__file__).parents[2] / "specs" / "sweeps"


def runs(name: str) -> dict[str, RunSpec]:
    """The variants of a sweep by name, at their first seed."""
    sweep = load(SWEEPS / f"{name}.yaml")
    assert isinstance(sweep, SweepSpec)
    return {run.variant: run.spec for run in reversed(sweep.expand())}


def rule(spec: RunSpec):
    return spec.model.block.memory.rule  # pyright: ignore


@pytest.mark.parametrize("name", sorted(path.stem for path in SWEEPS.glob("*.yaml")))
def test_what_a_sweep_evaluates_fits_the_weights_of_every_variant(name: str) -> None:
    for spec in runs(name).values():
        check_evaluations(spec)


def test_the_ablation_on_recall_has_the_rows_of_table_5() -> None:
    table = {"full", "linear-memory", "no-conv", "no-momentum", "no-decay", "no-persistent"}
    assert set(runs("titans_ablation_mqar")) == table | {"mac", "mag", "mal"}


def test_depths_are_one_to_four_towards_zero_and_towards_the_start() -> None:
    found = {name: rule(spec) for name, spec in runs("depth").items()}
    places = {"zero": "", "start": ", block.memory.decay_towards=start"}
    assert {name: (len(one.shapes(8)), one.decay_towards) for name, one in found.items()} == {
        f"depth-{depth}{ending}": (depth, towards)
        for depth in (1, 2, 3, 4)
        for towards, ending in places.items()
    }


def test_every_chunk_size_is_tested_under_the_others_with_one_largest_step() -> None:
    found = runs("chunk_size")
    trained = {rule(spec).chunk_size for spec in found.values()}
    for spec in found.values():
        others = evaluations(spec).values()
        assert {rule(other).chunk_size for other in others} == {1, *trained}
        assert {rule(other).lr_limit for other in others} == {rule(spec).lr_limit}


def test_fresh_and_stale_gradients_are_of_linear_and_deep_memories_with_one_largest_step() -> None:
    found = runs("freshness")
    classes = {"chunk": "C", "passes-1": "C'", "passes-2": "C'"}
    wanted = {f"{depth}-{how}": c for depth in ("deep", "linear") for how, c in classes.items()}
    wanted |= {"deep-token": "E", "linear-token": "B"}
    assert {name: classify(rule(spec))[0] for name, spec in found.items()} == wanted
    assert len({rule(spec).lr_limit for spec in found.values()}) == 1


def test_of_the_last_matrix_alone_fewer_gates_are_learned() -> None:
    found = runs("last_layer")
    assert rule(found["last-of-3"]).writes(8) == ("w3",)
    assert rule(found["all-of-3"]).writes(8) == ("w1", "w2", "w3")
    assert {rule(spec).decay_towards for spec in found.values()} == {"start"}


def test_what_keeps_a_needle_begins_from_the_model_of_the_task() -> None:
    task = load(SWEEPS.parent / "tasks" / "niah_2_lmm.yaml")
    assert isinstance(task, RunSpec)
    found = runs("needle_rules")
    assert found["titans"] == task
    assert len({spec.model for spec in found.values()}) == 7
