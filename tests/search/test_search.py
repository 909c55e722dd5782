"""A search over a planted space: its winner is known, and nothing is trained."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

import playground as pg
from playground.cli import searching
from playground.errors import PlaygroundError, SpecError
from playground.report.searched import Searched, load_search
from playground.spec import BaseSpec, RangeSpec, RungSpec, SamplerSpec, SearchSpec
from search.arm import Arm
from search.audit import Audit
from search.engine import Order, Said, Team
from search.front import best, ranks
from search.job import Job
from search.search import Search, budget
from search.static import Static
from search.suites import at_rung
from tests.train.small import MEMORY, TASK, TRAIN

pytest.importorskip("optuna", reason="optuna is an extra")

# Fields that a model really has; what they are worth is planted, the best value of each first.
WORTH: dict[str, tuple[Any, ...]] = {
    "block.memory.momentum": ("none", "token", "head"),
    "block.memory.decay": ("head", "none", "token"),
    "block.memory.chunk_size": (8, 2, 4, 16),
    "block.memory.heads": (4, 1, 2),
    "block.memory.conv": (3, 0, 2, 4),
    "block.memory.norm": ("none", "layer"),
    "block.memory.read_at": ("before", "after"),
    "block.feedforward.expand": (3.0, 1.0, 2.0, 4.0),
    "train.optim.lr": (3e-3, 1e-3, 1e-2),
}
PLANTED = SearchSpec(
    base=BaseSpec.of(MEMORY),
    task=TASK,
    train=TRAIN,
    space=WORTH,
    objectives={"val/loss": "min"},
    sampler=SamplerSpec(population=10, trials=150),
    rungs=(RungSpec(seeds=1, keep=0.05), RungSpec(suite="confirm", seeds=3)),
    device="cpu",
    compile=False,
)


def planted_loss(spec: pg.RunSpec) -> float:
    """Every field away from its best value costs something; noise is a function of the seed."""
    memory = spec.model.block.memory
    has = {f"block.memory.{n}": getattr(memory.rule, n, None) for n in vars(memory.rule)}
    has |= {"block.memory.heads": memory.heads, "block.memory.conv": memory.conv}
    has |= {"block.feedforward.expand": spec.model.block.feedforward.expand}
    has |= {"train.optim.lr": spec.train.optim.lr}
    cost = sum((0.3 + 0.1 * i) * WORTH[key].index(has[key]) for i, key in enumerate(WORTH))
    return 1.0 + cost + 1e-3 * (spec.seed * 7919 % 13)


class Here:
    """An engine without processes: a run has its planted result at once."""

    def __init__(self) -> None:
        self.given = 0
        self.trained: dict[str, pg.RunSpec] = {}

    def check(self, spec: Any) -> None: ...

    def team(self, spec: Any, runs: int, workers: int | None = None) -> Team:
        return Team(workers=1, threads=1)

    def hire(self, threads: int) -> "Desk":
        return Desk(self)

    def listen(self, workers: Sequence["Desk"], timeout_s: float) -> list[tuple["Desk", Said]]:
        heard = [(worker, ("done", "")) for worker in workers if worker.busy]
        for worker in workers:
            worker.busy = False
        return heard

    def dismiss(self, workers: Sequence["Desk"]) -> None: ...


class Desk:
    def __init__(self, engine: Here) -> None:
        self.engine, self.busy = engine, False

    def give(self, order: Order) -> None:
        self.busy = True
        for raw in order.specs:
            spec = pg.convert(pg.RunSpec, raw)
            name = pg.fingerprint(spec, pg.make_task(spec.task).data_sha())
            loss = planted_loss(spec)
            metrics = {"val/loss": loss, "test/loss": loss}
            result = pg.Result(fingerprint=name, status="ok", seed=spec.seed, metrics=metrics)
            folder = pg.RunStore(order.store).run(name)
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.finish(result)
            self.engine.given += 1
            self.engine.trained[name] = spec

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a candidate costs nothing here; it has its own tests below."""
    costs = {"params": 1.0, "state_bytes": 1.0, "flops_per_token": 1.0, "tokens_per_s": 1.0}
    monkeypatch.setattr(Static, "costs", lambda self, run: costs)


def searched(
    spec: SearchSpec, folder: Path, engine: Here | None = None, retry: bool = False
) -> Searched:
    todo = Search(
        name="planted",
        spec=spec,
        store=pg.RunStore(folder / "runs"),
        folder=folder / "search",
        engine=engine or Here(),
        retry=retry,
    )
    todo.run()
    return load_search(folder / "search", folder / "runs")


def reached(found: Searched, arm: str) -> float:
    """How many of the arm's candidates it took to the winner; infinite if it was not found."""
    mine = [c for c in found.candidates if c.arm == arm]
    for count, candidate in enumerate(mine, start=1):
        if all(candidate.values[key] == values[0] for key, values in WORTH.items()):
            return count
    return float("inf")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "trials"), [("nsga2", 150), ("tpe", 250)])
def test_the_planted_winner_is_found_and_sooner_than_by_chance(
    kind: Any, trials: int, tmp_path: Path
):
    """Of 20,736 candidates one is best."""
    took: dict[str, list[float]] = {kind: [], "random": []}
    for seed in range(10):
        sampler = SamplerSpec(kind=kind, population=10, trials=trials, seed=seed)
        found = searched(replace(PLANTED, sampler=sampler), tmp_path / str(seed))
        for arm, counts in took.items():
            counts.append(min(reached(found, arm), trials + 1.0))
    assert sum(count <= trials for count in took[kind]) >= 9, took
    assert sum(took[kind]) < sum(took["random"]), took


SHORT = replace(PLANTED, sampler=replace(PLANTED.sampler, kind="nsga2", population=6, trials=12))


def test_a_search_that_is_done_again_proposes_the_same_and_trains_nothing(tmp_path: Path):
    engine = Here()
    first = searched(SHORT, tmp_path, engine)
    given = engine.given
    assert given == 2 * (12 + 3)  # one of twenty goes on, with three seeds
    second = searched(SHORT, tmp_path, engine)
    assert engine.given == given
    assert second == first


def test_runs_that_failed_are_tried_again_if_that_is_asked_for(tmp_path: Path):
    engine = Here()
    first = searched(SHORT, tmp_path, engine)
    given, store = engine.given, pg.RunStore(tmp_path / "runs")
    last = json.loads((tmp_path / "search" / "search.json").read_text())["candidates"][-1]
    name = last["rungs"][0][0]["fingerprint"]
    store.run(name).finish(pg.Result(fingerprint=name, status="failed", reason="killed"))
    assert searched(SHORT, tmp_path, engine) != first
    assert engine.given == given
    assert searched(SHORT, tmp_path, engine, retry=True) == first
    assert engine.given == given + 1


def test_runs_of_its_stacks_are_audited_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    audited: list[str] = []

    def audit(jobs: Sequence[Job], spec: SearchSpec, **more: Any) -> list[Audit]:
        audited.extend(job.fingerprint for job in jobs)
        found = Audit(variant="a", seed=0, fingerprint="f", steps=50, difference=2e-8)
        return [found] if spec.run.audit else []

    monkeypatch.setattr("search.search.audit", audit)
    found = searched(SHORT, tmp_path)
    store = pg.RunStore(tmp_path / "runs")
    assert len(set(audited)) == 2 * (12 + 3)
    assert {store.status(name) for name in audited} == {"ok"}
    said = "Of 1 runs of stacks trained again alone, 1 agree within 1e-05"
    assert said in found.summary()[-1]
    assert "at most 2e-08 apart (a #0)." in found.summary()[-1]
    assert "24 candidates: 12 of nsga2 and 12 of random" in found.summary()[0]


def test_what_is_confirmed_was_best_before_with_other_seeds(tmp_path: Path):
    found = searched(SHORT, tmp_path)
    for arm in found.arms:
        mine = [c for c in found.candidates if c.arm == arm]
        (final,) = (c for c in mine if c.test)
        least = min(next(iter(c.rungs[0].values())) for c in mine)
        assert next(iter(final.rungs[0].values())) == least
        assert set(final.test) == {0, 1, 2}
        assert not set(final.test) & set(final.rungs[0])


def test_only_the_last_rung_reads_the_test_split(tmp_path: Path):
    engine = Here()
    searched(SHORT, tmp_path, engine)
    told = json.loads((tmp_path / "search" / "search.json").read_text())["candidates"]
    first, last = (
        {run["fingerprint"] for one in told for rung in one["rungs"][at : at + 1] for run in rung}
        for at in (0, 1)
    )
    assert {name for name, spec in engine.trained.items() if spec.train.score_test} == last
    assert engine.trained.keys() == first | last


def test_the_report_says_gain_and_agreement(tmp_path: Path):
    spec = replace(SHORT, rungs=(RungSpec(seeds=1, keep=0.5), RungSpec(suite="confirm", seeds=3)))
    found = searched(spec, tmp_path)
    gain = found.gain()
    mine, control = found.pick("nsga2"), found.pick("random")
    assert gain is not None
    assert mine is not None
    assert control is not None
    assert gain.mean == pytest.approx(mine.mean_test() - control.mean_test())
    (agreement,) = found.agreement()
    assert agreement.n == 12
    assert agreement.rho == pytest.approx(1.0)  # the noise is the same for all
    assert "Gain over an equal budget of chance" in found.markdown()
    assert found.table().rows[0][1].text == "yes"


def test_no_candidate_is_trained_twice_and_a_small_space_ends(tmp_path: Path):
    space = {"block.memory.conv": (0, 2), "block.memory.heads": (1, 2)}
    spec = replace(SHORT, space=space, rungs=(RungSpec(seeds=1),))
    found = searched(spec, tmp_path)
    for arm in found.arms:
        values = [repr(c.values) for c in found.candidates if c.arm == arm]
        assert len(values) == len(set(values)) == 4


def test_a_grid_is_the_whole_space_once_and_ends_there(tmp_path: Path):
    space = {"block.memory.heads": (1, 2, 4), "block.memory.conv": RangeSpec(low=2, high=4)}
    sampler = SamplerSpec(kind="grid", population=4, trials=20, control="none")
    spec = replace(SHORT, space=space, sampler=sampler, rungs=(RungSpec(seeds=1),))
    with pytest.raises(SpecError, match=r"sampler\.trials: 8 are fewer than the 9 points"):
        searched(replace(spec, sampler=replace(sampler, trials=8)), tmp_path)
    for _ in range(2):  # and once more from what is there
        found = searched(spec, tmp_path)
        assert len({repr(c.values) for c in found.candidates}) == len(found.candidates) == 9


def test_the_front_is_chosen_by_what_was_known_before_the_numbers_it_shows(tmp_path: Path):
    rungs = (RungSpec(seeds=1, keep=0.5), RungSpec(suite="confirm", seeds=3))
    found = searched(replace(SHORT, rungs=rungs), tmp_path)
    (first,) = {c.name for c in found.front()}
    lucky = replace(found.finalists()[-1], test={0: 0.0, 1: 0.0, 2: 0.0})
    others = [c for c in found.candidates if c.name != lucky.name]
    other = replace(found, candidates=(*others, lucky))
    assert other.finalists()[0].name == lucky.name != first
    assert {c.name for c in other.front()} == {first}


def test_a_search_without_finalists_is_a_report_without_a_figure(tmp_path: Path):
    found = replace(searched(SHORT, tmp_path), candidates=())
    files = searching._write(found, tmp_path)
    assert [file.name for file in files] == ["report.md", "report.csv"]


def test_ranks_are_fronts():
    points = [(1.0, 5.0), (2.0, 9.0), (3.0, 4.0), (float("nan"), 9.0), (1.0, 9.0)]
    assert ranks(points, ["min", "max"]) == [1, 1, 2, 3, 0]
    assert best(points, ["min", "max"], 3) == [4, 0, 1]
    assert best(points, ["min", "max"], 9) == [4, 0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"space": {}}, "space"),
        ({"objectives": {"params": "min"}}, "objectives"),
        ({"objectives": {"test/loss": "min"}}, "objectives"),
        ({"limits": {"speed": (0.0, 1.0)}}, "limits.speed"),
        ({"rungs": (RungSpec(suite="static"),)}, "rungs"),
        (
            {
                "sampler": SamplerSpec(kind="grid"),
                "space": {"train.optim.lr": RangeSpec(low=1e-3, high=1e-2)},
            },
            "space.train.optim.lr",
        ),
    ],
)
def test_a_search_that_could_find_nothing_is_refused(changes: dict, path: str):
    with pytest.raises(SpecError) as caught:
        replace(PLANTED, **changes)
    assert caught.value.path == path


def test_a_rung_or_key_that_cannot_be_is_refused_before_anything_is_trained(tmp_path: Path):
    engine = Here()
    rungs = (RungSpec(seeds=1), RungSpec(suite="mqar-max"), RungSpec(suite="confirm"))
    with pytest.raises(SpecError, match="mqar-mini"):
        searched(replace(SHORT, rungs=rungs), tmp_path, engine)
    with pytest.raises(SpecError, match="momentum"):
        searched(replace(SHORT, space={"block.memory.momentm": ("none",)}), tmp_path, engine)
    assert engine.given == 0


def test_a_suite_of_several_tasks_trains_each_and_their_mean_is_the_score(tmp_path: Path):
    engine = Here()
    rungs = (RungSpec(suite="mad-lite", seeds=2, keep=0.34), RungSpec(suite="confirm", seeds=3))
    sampler = replace(SHORT.sampler, population=3, trials=3)
    spec = replace(SHORT, rungs=rungs, sampler=sampler, objectives={"val/score": "max"})
    (one,), (two,), (three,) = at_rung(spec.first(), spec.trained, 0)
    kinds = [run.task.kind for run in (one, two, three)]
    assert kinds == ["mad_recall", "mad_noisy_recall", "mad_selective_copy"]
    assert [run.seed for run in at_rung(spec.first(), spec.trained, 1, (4, 5))[2]] == [4, 5]
    found = searched(spec, tmp_path, engine)
    assert engine.given == 2 * 3 * (3 * 2 + 3)  # arms, tasks, candidates x seeds, then one x seeds
    assert budget(spec)["runs"] == engine.given
    tokens = 300 * 32 * 32
    assert budget(spec)["tokens"] == engine.given * tokens
    runs = pg.RunStore(tmp_path / "runs")
    raw = json.loads((tmp_path / "search" / "search.json").read_text())
    for entry in raw["candidates"]:
        told = next(c for c in found.candidates if c.name == entry["name"])
        losses: dict[int, list[float]] = {}
        for run in entry["rungs"][0]:
            result = runs.run(run["fingerprint"]).result()
            assert result is not None
            losses.setdefault(run["seed"], []).append(result.metrics["val/loss"])
        assert [len(values) for values in losses.values()] == [3, 3]
        assert told.rungs[0] == {s: pytest.approx(-mean(v)) for s, v in losses.items()}
    final = found.finalists()
    assert [c.planned for c in final] == [3, 3]
    assert all(set(c.test) == {0, 1, 2} for c in final)
    assert final[0].mean_test() >= final[1].mean_test()


def test_the_score_of_a_task_is_its_accuracy_or_else_minus_its_loss():
    assert pg.scored({"val/accuracy": 0.5, "val/loss": 2.0}, "val/score") == 0.5
    assert pg.scored({"val/loss": 2.0}, "val/score") == -2.0
    assert pg.scored({"val/loss": 2.0}, "val/loss") == 2.0
    assert math.isnan(pg.scored({"val/loss": 2.0}, "val/accuracy"))
    assert math.isnan(pg.scored({}, "test/score"))
    assert pg.direction("val/score") == pg.direction("test/accuracy@128x8") == 1


def test_candidates_are_timed_here_so_the_device_has_to_be_here(tmp_path: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    spec = replace(SHORT, device="cuda")
    here, store = Here(), pg.RunStore(tmp_path)
    search = Search(name="s", spec=spec, store=store, folder=tmp_path, engine=here)
    with pytest.raises(SpecError, match="device"):
        search.run()


def test_without_optuna_it_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PlaygroundError, match=r"pip install 'test-time-playground\[search\]'"):
        Search(name="s", spec=SHORT, store=pg.RunStore(tmp_path), folder=tmp_path / "s").run()
    assert not (tmp_path / "s").exists()


def test_a_candidate_has_the_fields_of_its_own_kinds_only(monkeypatch: pytest.MonkeyPatch):
    space = {
        "block.kind": ("lmm", "attention"),
        "block.memory.kind": ("titans", "gated_delta"),
        "block.memory.momentum": ("none", "token", "head"),
        "block.memory.heads": (1, 2),
        "block.window_len": (4, 8),
        "train.optim.lr": RangeSpec(low=1e-3, high=1e-2),
    }
    costs = dict.fromkeys(("params", "state_bytes", "flops_per_token", "tokens_per_s"), 1.0)
    monkeypatch.setattr(Static, "costs", lambda self, spec: costs)
    spec = replace(SHORT, space=space)
    arm = Arm("random", spec, Static(spec, Path("unused")))
    found = arm.propose(30)
    assert len(found) == 30 and not arm.rejected
    seen = set[str]()
    for candidate in found:
        block, values = candidate.spec.model.block, candidate.values
        assert block.kind == values["block.kind"]
        wanted = {"block.kind", "train.optim.lr"}
        if block.kind == "lmm":
            assert block.memory.rule.kind == values["block.memory.kind"]
            seen.add(block.memory.rule.kind)
            wanted |= {"block.memory.kind", "block.memory.heads"}
            wanted |= {"block.memory.momentum"} if block.memory.rule.kind == "titans" else set()
        else:
            wanted.add("block.window_len")
        assert set(values) == wanted
    assert seen == {"titans", "gated_delta"}


def test_a_field_of_another_kind_than_the_base_has_may_be_searched():
    base = BaseSpec.of(pg.override(PLANTED.first(), {"block.memory.kind": "gated_delta"}).model)
    space = {"block.memory.momentum": ("none", "token")}
    with pytest.raises(SpecError, match="momentum"):
        replace(SHORT, base=base, space=space).first()
    kinds = {"block.memory.kind": ("titans", "gated_delta")}
    run = replace(SHORT, base=base, space=kinds | space).first()
    assert pg.fitting(run, {"block.memory.momentum": "none"}) == {}
